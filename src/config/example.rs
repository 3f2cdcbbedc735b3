//! A configuration file that shows every key, made from the list of keys.

use super::keys::{self, ADMIN, GATEWAY, Key, SERVE};

/// Returns a file with every key, commented out: what it is, its unit, its default, and which commands have it.
pub(crate) fn example() -> String {
    let mut text = HEAD.to_owned();
    for key in keys::all() {
        text.push('\n');
        text.push_str(&shown(key));
    }
    text.push_str(OPERATIONS);
    text
}

fn shown(key: &Key) -> String {
    let unit = match key.value {
        "MS" => "In milliseconds. ",
        "OCTETS" => "In octets. ",
        _ => "",
    };
    let default = match key.default {
        None => "No default.".to_owned(),
        Some("") => "Default: none.".to_owned(),
        Some(default) => format!("Default: {default}."),
    };
    let commands: Vec<&str> = [(SERVE, "serve"), (GATEWAY, "gateway"), (ADMIN, "admin")]
        .into_iter()
        .filter(|(command, _)| key.commands & command != 0)
        .map(|(_, name)| name)
        .collect();
    let restart = if keys::needs_restart(key.name) {
        " Changing it needs a restart."
    } else {
        ""
    };
    format!(
        "# {}.\n# {unit}{default} For: {}.{restart}\n#{} = {}\n",
        key.help,
        commands.join(", "),
        key.name,
        value(key)
    )
}

/// The default as a TOML value, or what stands for a value.
fn value(key: &Key) -> String {
    let text = key.default.unwrap_or(key.value);
    if text.parse::<i64>().is_ok() || text.parse::<bool>().is_ok() {
        text.to_owned()
    } else {
        format!("\"{text}\"")
    }
}

const HEAD: &str = "\
# Every key of the configuration of `postern serve`, `postern gateway` and `postern admin`.
# Printed by `postern config example`; check a file of yours by `postern config check --config FILE`.
# Each key is also a flag (with dashes) and a variable (POSTERN_ and the key in capitals); flags win over variables,
# variables over this file. Lists may be arrays of texts. On SIGHUP the file is read again.
";

const OPERATIONS: &str = "
# Operations beyond the shipped catalogue, as many as needed. For: serve, gateway.
#[[operations]]
#method = \"GET\"
#path = \"/orgs/{orgId}/reports/{reportId}\"
#id = \"getReport\"
#permission = \"app.read\"     # the permission that a role must allow; or, for an operation that needs no token:
#public = true
";
