//! `postern demo`: the lines that it prints do what they say when they are pasted.

use std::process::Command;

use crate::harness::process::{Process, postern};

/// Returns the lines to paste of what the demonstration prints.
fn pasted(printed: &str) -> Vec<String> {
    let lines = printed
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    lines.map(|line| line.trim().to_owned()).collect()
}

#[test]
fn the_printed_lines_make_a_service_user_and_a_token_use_it_and_are_refused() {
    let temporary = tempfile::tempdir().expect("a directory");
    let mut command = postern(["demo", "--listen", "127.0.0.1:0"]);
    command.env("TMPDIR", temporary.path());
    let demo = Process::spawn(command);
    demo.stdout.line("the end of the introduction", |line| {
        line.starts_with("Below").then_some(())
    });
    let printed = demo.stdout.so_far();
    let lines = pasted(&printed);
    let [export, create, issue, used, refused, console] = &lines[..] else {
        panic!("six lines to paste:\n{printed}")
    };
    let script = [export, create, issue, used, "echo", refused, "echo", console]
        .map(String::from)
        .join("\n");
    let pasted = Command::new("bash")
        .args(["-eu", "-c", &script])
        .output()
        .expect("bash exists");
    let shown = String::from_utf8(pasted.stdout).expect("UTF-8");
    assert!(
        pasted.status.success(),
        "{shown}{}",
        String::from_utf8_lossy(&pasted.stderr)
    );
    let shown: Vec<&str> = shown.lines().collect();
    let [user, token, credentials, refusal, link] = shown[..] else {
        panic!("five lines: {shown:?}")
    };
    assert!(user.starts_with("s-"), "{user}");
    assert!(token.starts_with("pstn_"), "{token}");
    assert!(
        credentials.contains("\"username\"") && credentials.contains("\"password\""),
        "{credentials}"
    );
    assert!(refusal.contains("\"not-allowed\""), "{refusal}");
    assert!(link.starts_with("http://localhost:"), "{link}");
    demo.stdout.line("the refusal in the log", |line| {
        (line.contains("\"createApplication\"") && line.contains("\"status\":403")).then_some(())
    });
    let left = || std::fs::read_dir(temporary.path()).expect("it is there").count();
    assert_eq!(left(), 1);
    demo.terminate();
    assert_eq!(demo.ended().code, Some(0));
    assert_eq!(left(), 0, "nothing is left behind");
}

#[test]
fn another_port_is_taken_when_the_usual_one_is_in_use() {
    let used = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = used.local_addr().expect("it is bound").to_string();
    let demo = Process::start(["demo", "--listen", &address]);
    let printed = demo.stdout.line("the address", |line| {
        line.contains("Requests: http://").then(|| line.to_owned())
    });
    assert!(!printed.contains(&address), "{printed}");
    demo.terminate();
    assert_eq!(demo.ended().code, Some(0));
}
