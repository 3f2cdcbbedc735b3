//! Policies in a real registry, pushed and pulled by the binary.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::harness::client::{Client, Request};
use crate::harness::process::{Ended, Process, postern};
use crate::harness::tls::Authority;
use crate::harness::upstream::Upstream;

/// A registry of its own, with a folder of its own.
struct Registry {
    _process: Process,
    directory: TempDir,
    address: SocketAddr,
}

/// How a registry is set up, beyond that it listens.
const OPEN: &str = "";

/// A password for `robot`: `secret`, hashed by bcrypt.
const HTPASSWD: &str = "robot:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n";

impl Registry {
    fn start() -> Self {
        Self::with(tempfile::tempdir().expect("a directory"), OPEN, OPEN)
    }

    /// Starts a registry with lines of its configuration, below `http` and at the top.
    fn with(directory: TempDir, http: &str, top: &str) -> Self {
        let folder = directory.path().join("blobs");
        let config = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http:\n  addr: 127.0.0.1:0\n{http}\n{top}\n",
            folder.display()
        );
        let file = directory.path().join("registry.yml");
        fs::write(&file, config).expect("it is written");
        let there = Command::new("docker-registry").arg("--version").output();
        there.expect("these tests need docker-registry (apt-get install docker-registry)");
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&file).env("OTEL_TRACES_EXPORTER", "none");
        let process = Process::spawn(command);
        let address = process.stderr.line("where the registry listens", |line| {
            let (_, rest) = line.split_once("listening on ")?;
            let end = rest.find([',', '"', ' ']).unwrap_or(rest.len());
            rest[..end].parse().ok()
        });
        Self {
            _process: process,
            directory,
            address,
        }
    }

    fn reference(&self, rest: &str) -> String {
        format!("oci://{}/{rest}", self.address)
    }

    fn client(&self) -> Client {
        Client {
            address: self.address,
            token: None,
        }
    }

    fn manifest(&self, reference: &str) -> Value {
        let request = Request::new("GET", &format!("/v2/policies/any/manifests/{reference}"));
        let request = request.field("Accept", MANIFEST);
        self.client().send(request).ok(200)
    }

    /// Puts other octets in the place of those that a digest stands for.
    fn tamper(&self, digest: &str) {
        let hex = digest.strip_prefix("sha256:").expect("a digest");
        let data = format!("blobs/docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]);
        let data = self.directory.path().join(data);
        let mut octets = fs::read(&data).expect("the registry has it");
        // Of a manifest a digit of a digest, so that it stays a manifest.
        let at = octets
            .windows(7)
            .position(|part| part == b"sha256:")
            .map_or(0, |at| at + 7);
        octets[at] = if octets[at] == b'0' { b'1' } else { b'0' };
        fs::write(&data, octets).expect("it is written");
    }
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Two components.
const ONE: &str = "policies/builtin/viewer.wasm";
const OTHER: &str = "policies/builtin/owner.wasm";

fn component(file: &str) -> Vec<u8> {
    fs::read(file).expect("a built-in policy")
}

fn run(words: &[&str], folder: &Path) -> Ended {
    let mut command = postern(words);
    // Nobody's credentials but those of the test.
    command.env("DOCKER_CONFIG", folder).env("POSTERN_TOKEN", "any");
    Process::spawn(command).ended()
}

/// Runs a command that is to succeed, and returns what it prints as JSON.
#[track_caller]
fn done(words: &[&str], folder: &Path) -> Value {
    let ended = run(&[words, &["--json"]].concat(), folder);
    assert_eq!(ended.code, Some(0), "{words:?}: {}", ended.stderr);
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.stdout))
}

struct Place {
    folder: TempDir,
    file: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let file = folder.path().join("pulled.wasm");
        Self { folder, file }
    }

    fn file(&self) -> &str {
        self.file.to_str().expect("a text")
    }
}

#[test]
fn a_policy_is_pushed_as_the_standard_artifact_and_pulled_back_as_it_was() {
    let (registry, place) = (Registry::start(), Place::new());
    let reference = registry.reference("policies/any:1.0.0");
    let pushed = done(&["policy", "push", ONE, &reference], place.folder.path());
    let octets = component(ONE);
    let digest = format!("{:x}", Hex(&octets));
    assert_eq!(pushed["digest"], json!(digest));
    let manifest = registry.manifest("1.0.0");
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.wasm.config.v0+json");
    assert_eq!(manifest["layers"].as_array().map(Vec::len), Some(1));
    let layer = &manifest["layers"][0];
    assert_eq!(layer["mediaType"], "application/wasm");
    assert_eq!(
        (&layer["digest"], &layer["size"]),
        (&json!(format!("sha256:{digest}")), &json!(octets.len()))
    );
    let config = manifest["config"]["digest"].as_str().expect("a digest");
    let config = registry
        .client()
        .get(&format!("/v2/policies/any/blobs/{config}"))
        .ok(200);
    assert_eq!(
        (&config["architecture"], &config["os"]),
        (&json!("wasm"), &json!("wasip2"))
    );
    assert_eq!(config["layerDigests"], json!([layer["digest"]]));

    let pulled = done(&["policy", "pull", &reference, "-o", place.file()], place.folder.path());
    assert_eq!(pulled, pushed);
    assert_eq!(fs::read(&place.file).expect("it is there"), octets);
}

#[test]
fn a_pinned_reference_names_one_artifact_wherever_its_tag_goes() {
    let (registry, place) = (Registry::start(), Place::new());
    let tag = registry.reference("policies/any:latest");
    let pushed = done(&["policy", "push", ONE, &tag], place.folder.path());
    let pinned = pushed["reference"].as_str().expect("a reference");
    assert!(pinned.starts_with(&format!("{tag}@sha256:")), "{pinned}");
    done(&["policy", "push", OTHER, &tag], place.folder.path());
    for (reference, expected) in [(pinned, ONE), (&tag, OTHER)] {
        done(&["policy", "pull", reference, "-o", place.file()], place.folder.path());
        assert!(
            fs::read(&place.file).expect("it is there") == component(expected),
            "{reference}"
        );
    }
    let refused = run(&["policy", "push", ONE, pinned], place.folder.path());
    assert_eq!(refused.code, Some(64), "{}", refused.stderr);
}

#[test]
fn what_has_not_the_digest_that_was_asked_for_is_not_used() {
    let (registry, place) = (Registry::start(), Place::new());
    let reference = registry.reference("policies/any:1.0.0");
    let pushed = done(&["policy", "push", ONE, &reference], place.folder.path());
    let pinned = pushed["reference"].as_str().expect("a reference");
    let layer = registry.manifest("1.0.0")["layers"][0]["digest"].clone();
    registry.tamper(layer.as_str().expect("a digest"));
    let refused = run(&["policy", "pull", &reference, "-o", place.file()], place.folder.path());
    assert_eq!(refused.code, Some(65), "{}", refused.stderr);
    assert!(!place.file.exists());

    done(
        &["policy", "push", OTHER, &registry.reference("policies/any:2.0.0")],
        place.folder.path(),
    );
    let (_, manifest) = pinned.split_once('@').expect("it is pinned");
    registry.tamper(manifest);
    let refused = run(&["policy", "pull", pinned, "-o", place.file()], place.folder.path());
    assert_eq!(refused.code, Some(65), "{}", refused.stderr);
    assert!(!place.file.exists());
}

#[test]
fn what_is_no_webassembly_artifact_is_told_and_not_used() {
    let (registry, place) = (Registry::start(), Place::new());
    done(
        &["policy", "push", ONE, &registry.reference("policies/any:1.0.0")],
        place.folder.path(),
    );
    let manifest = registry.manifest("1.0.0");
    let mut image = manifest.clone();
    image["config"]["mediaType"] = json!("application/vnd.oci.image.config.v1+json");
    let mut two = manifest.clone();
    two["layers"] = json!([manifest["layers"][0], manifest["layers"][0]]);
    let mut huge = manifest.clone();
    huge["layers"][0]["size"] = json!(1_u64 << 40);
    for (tag, artifact, told) in [
        ("image", image, "application/vnd.oci.image.config.v1+json"),
        ("two", two, "2 layers"),
        ("huge", huge, "longer than 32 MiB"),
    ] {
        let put = Request::new("PUT", &format!("/v2/policies/any/manifests/{tag}"));
        let put = put.field("Content-Type", MANIFEST).body(artifact.to_string());
        assert_eq!(registry.client().send(put).status, 201, "{tag}");
        let reference = registry.reference(&format!("policies/any:{tag}"));
        let refused = run(&["policy", "pull", &reference, "-o", place.file()], place.folder.path());
        assert_eq!(refused.code, Some(65), "{tag}: {}", refused.stderr);
        assert!(refused.stderr.contains(told), "{tag}: {}", refused.stderr);
        assert!(!place.file.exists(), "{tag}");
    }
    let file = place.folder.path().join("no.wasm");
    fs::write(&file, "no component").expect("it is written");
    let push = [
        "policy",
        "push",
        file.to_str().expect("a text"),
        &registry.reference("policies/any:no"),
    ];
    assert_eq!(run(&push, place.folder.path()).code, Some(65));
}

#[test]
fn a_registry_that_wants_a_password_is_given_the_one_for_it() {
    let place = Place::new();
    let directory = tempfile::tempdir().expect("a directory");
    let htpasswd = directory.path().join("htpasswd");
    fs::write(&htpasswd, HTPASSWD).expect("it is written");
    let auth = format!("auth: {{htpasswd: {{realm: r, path: {}}}}}", htpasswd.display());
    let registry = Registry::with(directory, OPEN, &auth);
    let reference = registry.reference("policies/any:1.0.0");
    let push = ["policy", "push", ONE, &reference];
    let refused = run(&push, place.folder.path());
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);

    let password = place.folder.path().join("password");
    for (text, code) in [("wrong\n", 1), ("secret\n", 0)] {
        fs::write(&password, text).expect("it is written");
        let with = [
            "--registry-username",
            "robot",
            "--registry-password-file",
            password.to_str().expect("a text"),
        ];
        let ended = run(&[&push[..], &with].concat(), place.folder.path());
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        assert!(!ended.stderr.contains(text.trim()), "{}", ended.stderr);
    }
    // As `docker login` writes it: robot:secret.
    let config = json!({"auths": {registry.address.to_string(): {"auth": "cm9ib3Q6c2VjcmV0"}}});
    fs::write(place.folder.path().join("config.json"), config.to_string()).expect("it is written");
    done(&["policy", "pull", &reference, "-o", place.file()], place.folder.path());
    assert_eq!(fs::read(&place.file).expect("it is there"), component(ONE));
}

#[test]
fn over_tls_only_a_registry_with_a_trusted_certificate_is_asked() {
    let place = Place::new();
    let directory = tempfile::tempdir().expect("a directory");
    let authority = Authority::new();
    let (certificate, key) = authority.issue(&["127.0.0.1"]).write(directory.path(), "registry");
    let tls = format!(
        "  tls: {{certificate: {}, key: {}}}",
        certificate.display(),
        key.display()
    );
    let registry = Registry::with(directory, &tls, OPEN);
    let reference = registry.reference("policies/any:1.0.0");
    for (authority, code) in [(authority, 0), (Authority::new(), 69)] {
        let file = place.folder.path().join("ca.pem");
        fs::write(&file, authority.pem()).expect("it is written");
        let push = [
            "policy",
            "push",
            ONE,
            &reference,
            "--registry-ca-file",
            file.to_str().expect("a text"),
        ];
        let ended = run(&push, place.folder.path());
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
    }
}

#[test]
fn a_registry_that_is_not_there_or_lacks_the_tag_is_told_apart() {
    let (registry, place) = (Registry::start(), Place::new());
    let pull = |reference: &str| run(&["policy", "pull", reference, "-o", place.file()], place.folder.path());
    let missing = pull(&registry.reference("policies/any:none"));
    assert_eq!(missing.code, Some(1), "{}", missing.stderr);
    assert_eq!(pull("oci://127.0.0.1:9/policies/any:1").code, Some(69));
    assert_eq!(pull("oci://policies/any:1").code, Some(64));
}

#[test]
fn a_policy_in_a_registry_is_published_as_it_is_there() {
    let (registry, place) = (Registry::start(), Place::new());
    let api = Upstream::answering(201, json!({}));
    let reference = registry.reference("policies/any:1.0.0");
    done(&["policy", "push", ONE, &reference], place.folder.path());
    let publish = ["policy", "publish", &reference, "--url", &api.url(), "--org", "acme"];
    done(&publish, place.folder.path());
    let published: Value = serde_json::from_slice(&api.only().body).expect("JSON");
    assert_eq!(published, json!({"component": STANDARD.encode(component(ONE))}));
}

/// SHA-256 in hexadecimal.
struct Hex<'a>(&'a [u8]);

impl std::fmt::LowerHex for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Sha256::digest(self.0)
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
