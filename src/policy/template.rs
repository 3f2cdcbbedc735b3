//! The templates of `policies/templates`, carried in the binary: `postern policy new` needs nothing else.
//!
//! One table, a row for each language. What the folders' names mean is told in `policies/templates/README.md`.

use std::fmt;

use clap::ValueEnum;
use feed::PolicyKind;

/// A language that a policy can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Lang {
    /// Rust, with the crate `postern-policy` written beside the policy
    Rust,
    /// C, with one header and no library
    C,
    /// AssemblyScript: TypeScript's syntax, compiled to small WebAssembly
    Assemblyscript,
    /// JavaScript, with an interpreter in the component
    Javascript,
    /// TypeScript, with an interpreter of JavaScript in the component
    Typescript,
    /// Python, with an interpreter in the component
    Python,
    /// Go, with its runtime in the component
    Go,
    /// Rules in Rego, the language of Open Policy Agent, with an interpreter in the component
    Rego,
}

/// A file to be written, with its placeholders filled in.
pub(super) struct Written {
    /// Path in the policy's folder.
    pub(super) path: String,
    /// What it holds.
    pub(super) text: String,
}

/// A language's files.
struct Template {
    /// The file that an author edits first.
    source: &'static str,
    /// Files of `policies/templates`, by their path there.
    files: &'static [File],
    /// Files from elsewhere, by their path in the policy's folder.
    more: &'static [&'static [File]],
}

type File = (&'static str, &'static str);

impl Lang {
    /// Returns the files of a policy of this name and kind.
    pub(super) fn files(self, name: &str, kind: PolicyKind) -> Vec<Written> {
        let template = self.template();
        let (kind, other) = match kind {
            PolicyKind::Role => ("role", "guard"),
            PolicyKind::Guard => ("guard", "role"),
        };
        let fill = |text: &str| {
            let text = text.replace("{{name}}", name).replace("{{kind}}", kind);
            text.replace("{{lang}}", &self.to_string())
                .replace("{{source}}", template.source)
        };
        let mut files: Vec<Written> = Vec::new();
        for (path, text) in ANY.iter().chain(template.files) {
            let (_, inner) = path.split_once('/').expect("a template's file is in a folder");
            if inner.starts_with(&format!("{other}/")) {
                continue;
            }
            let inner = inner.strip_prefix(&format!("{kind}/")).unwrap_or(inner);
            let path = dotted(inner);
            // A language's own file goes before the one for all.
            files.retain(|file| file.path != path);
            files.push(Written { path, text: fill(text) });
        }
        files.extend(
            template
                .more
                .iter()
                .copied()
                .flatten()
                .chain(CONTRACT)
                .map(|(path, text)| Written {
                    path: (*path).to_owned(),
                    text: (*text).to_owned(),
                }),
        );
        files
    }

    fn template(self) -> &'static Template {
        match self {
            Self::Rust => &RUST,
            Self::C => &C,
            Self::Assemblyscript => &ASSEMBLYSCRIPT,
            Self::Javascript => &JAVASCRIPT,
            Self::Typescript => &TYPESCRIPT,
            Self::Python => &PYTHON,
            Self::Go => &GO,
            Self::Rego => &REGO,
        }
    }
}

impl fmt::Display for Lang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

/// A folder of the repository's that begins with a dot would be one that its own tools read.
fn dotted(path: &str) -> String {
    let segment = |segment: &str| match segment.strip_prefix("dot-") {
        Some(rest) => format!(".{rest}"),
        None => segment.to_owned(),
    };
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

/// Files of `policies/templates`, by their path there.
macro_rules! templates {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../policies/templates/", $path)))),*]
    };
}

const ANY: &[File] = templates![
    "any/README.md",
    "any/dot-gitignore",
    "any/guard/tests.toml",
    "any/role/tests.toml",
];

/// The contract, for every language.
const CONTRACT: &[File] = &[(".postern/wit/policy.wit", CONTRACT_WIT)];

/// The contract between Postern and its policies, in WIT.
pub(super) const CONTRACT_WIT: &str = include_str!("../../policies/wit/policy.wit");

/// Cargo adds the policy to it, and keeps the versions that the crate for authors was tested with.
const LOCK: &[File] = &[("Cargo.lock", include_str!("../../policies/sdk/Cargo.lock"))];

/// The crate for authors in Rust.
const SDK: &[File] = &[
    (".postern/sdk/Cargo.toml", include_str!("../../policies/sdk/Cargo.toml")),
    (
        ".postern/sdk/src/allocator.rs",
        include_str!("../../policies/sdk/src/allocator.rs"),
    ),
    (
        ".postern/sdk/src/bindings.rs",
        include_str!("../../policies/sdk/src/bindings.rs"),
    ),
    (".postern/sdk/src/lib.rs", include_str!("../../policies/sdk/src/lib.rs")),
    (
        ".postern/sdk/src/policy.rs",
        include_str!("../../policies/sdk/src/policy.rs"),
    ),
];

static RUST: Template = Template {
    source: "src/lib.rs",
    files: templates![
        "rust/Cargo.toml",
        "rust/dot-cargo/config.toml",
        "rust/guard/src/lib.rs",
        "rust/policy.toml",
        "rust/role/src/lib.rs",
    ],
    more: &[LOCK, SDK],
};

static REGO: Template = Template {
    source: "policy.rego",
    files: templates![
        "rego/dot-cargo/config.toml",
        "rego/dot-postern/rules/Cargo.lock",
        "rego/dot-postern/rules/Cargo.toml",
        "rego/dot-postern/rules/build.rs",
        "rego/dot-postern/rules/src/manifest.rs",
        "rego/dot-postern/rules/src/rules.rs",
        "rego/guard/dot-postern/rules/src/lib.rs",
        "rego/guard/policy.rego",
        "rego/policy.toml",
        "rego/role/dot-postern/rules/src/lib.rs",
        "rego/role/policy.rego",
    ],
    more: &[SDK],
};

static GO: Template = Template {
    source: "policy.go",
    files: templates![
        "go/dot-postern/policy/abi.go",
        "go/dot-postern/policy/go.mod",
        "go/dot-postern/policy/policy.go",
        "go/go.mod",
        "go/guard/policy.go",
        "go/policy.toml",
        "go/role/policy.go",
    ],
    more: &[],
};

static C: Template = Template {
    source: "policy.c",
    files: templates![
        "c/dot-postern/postern_policy.h",
        "c/guard/policy.c",
        "c/policy.toml",
        "c/role/policy.c",
    ],
    more: &[],
};

static ASSEMBLYSCRIPT: Template = Template {
    source: "policy.ts",
    files: templates![
        "assemblyscript/asconfig.json",
        "assemblyscript/dot-postern/guard.ts",
        "assemblyscript/dot-postern/postern.ts",
        "assemblyscript/dot-postern/role.ts",
        "assemblyscript/guard/policy.ts",
        "assemblyscript/package.json",
        "assemblyscript/policy.toml",
        "assemblyscript/role/policy.ts",
        "assemblyscript/tsconfig.json",
    ],
    more: &[],
};

static JAVASCRIPT: Template = Template {
    source: "policy.js",
    files: templates![
        "javascript/guard/policy.js",
        "javascript/package.json",
        "javascript/policy.toml",
        "javascript/role/policy.js",
    ],
    more: &[&[(
        ".postern/policy.d.ts",
        include_str!("../../policies/templates/typescript/dot-postern/policy.d.ts"),
    )]],
};

static TYPESCRIPT: Template = Template {
    source: "policy.ts",
    files: templates![
        "typescript/dot-postern/policy.d.ts",
        "typescript/guard/policy.ts",
        "typescript/package.json",
        "typescript/policy.toml",
        "typescript/role/policy.ts",
        "typescript/tsconfig.json",
    ],
    more: &[],
};

static PYTHON: Template = Template {
    source: "policy.py",
    files: templates![
        "python/dot-gitignore",
        "python/guard/policy.py",
        "python/policy.toml",
        "python/role/policy.py",
    ],
    more: &[],
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn walk(folder: &Path, root: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).expect("the folder is there") {
            let path = entry.expect("it can be read").path();
            if path.is_dir() {
                walk(&path, root, found);
            } else {
                let inner = path.strip_prefix(root).expect("it is below the root");
                found.insert(inner.to_str().expect("names are ASCII").to_owned());
            }
        }
    }

    #[test]
    fn the_binary_carries_every_file_of_the_templates() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/templates");
        let mut found = BTreeSet::new();
        walk(&root, &root, &mut found);
        found.remove("README.md");
        let own = |lang: &Lang| lang.template().files.iter().map(|(path, _)| (*path).to_owned());
        let carried: BTreeSet<String> = Lang::value_variants().iter().flat_map(own).collect();
        let any = ANY.iter().map(|(path, _)| (*path).to_owned());
        assert_eq!(found, carried.into_iter().chain(any).collect());
    }

    #[test]
    fn the_binary_carries_every_file_of_the_crate_for_authors() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/sdk/src");
        let mut found = BTreeSet::new();
        walk(&root, &root, &mut found);
        let prefix = ".postern/sdk/src/";
        let carried = SDK.iter().filter_map(|(path, _)| path.strip_prefix(prefix));
        assert_eq!(found, carried.map(str::to_owned).collect());
    }

    #[test]
    fn a_policy_has_the_files_of_its_kind_with_every_placeholder_filled_in() {
        for lang in Lang::value_variants() {
            for kind in [PolicyKind::Role, PolicyKind::Guard] {
                let files = lang.files("change-freeze", kind);
                let paths: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
                assert_eq!(paths.len(), files.len(), "{lang}");
                for path in ["policy.toml", "tests.toml", ".gitignore", lang.template().source] {
                    assert!(paths.contains(path), "{lang}: {path}");
                }
                for file in &files {
                    for placeholder in ["{{name}}", "{{kind}}", "{{lang}}", "{{source}}"] {
                        assert!(!file.text.contains(placeholder), "{lang}: {}", file.path);
                    }
                }
            }
        }
    }
}
