//! What a new plugin begins with: small projects in five languages for six roles, from templates in this binary.
//!
//! A project is made of what its role has in every language (manifest, cases), what its language has for every role
//! (build script), and one source file for the two together. A line of a template that begins with `@WORD ` stands only
//! where that is the role or the language. Must not know: where a project is written to.

use hostler_model::Slug;
use hostler_plugin::Role;

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Language {
    Rust,
    Python,
    Js,
    Go,
    C,
}

/// One file of a project.
pub(crate) struct File {
    /// Below the project's folder.
    pub(crate) path: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) executable: bool,
}

macro_rules! template {
    ($path:expr) => {
        include_str!(concat!("../templates/", $path))
    };
}

macro_rules! each_role {
    ($role:expr, $before:literal, $after:literal) => {
        match $role {
            Role::Trigger => template!(concat!($before, "trigger", $after)),
            Role::Inbound => template!(concat!($before, "inbound", $after)),
            Role::Outbound => template!(concat!($before, "outbound", $after)),
            Role::Builder => template!(concat!($before, "builder", $after)),
            Role::Renderer => template!(concat!($before, "renderer", $after)),
            Role::Relay => template!(concat!($before, "relay", $after)),
        }
    };
}

macro_rules! wit {
    ($name:literal) => {
        include_str!(concat!("../../../wit/", $name, "/", $name, ".wit"))
    };
}

impl Language {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::Js => "js",
            Self::Go => "go",
            Self::C => "c",
        }
    }

    /// Build script and what git leaves alone.
    const fn tools(self) -> (&'static str, &'static str) {
        match self {
            Self::Rust => (template!("rust/build.sh"), template!("rust/gitignore")),
            Self::Python => (template!("python/build.sh"), template!("python/gitignore")),
            Self::Js => (template!("js/build.sh"), template!("js/gitignore")),
            Self::Go => (template!("go/build.sh"), template!("go/gitignore")),
            Self::C => (template!("c/build.sh"), template!("c/gitignore")),
        }
    }

    /// The files of code, with their places.
    fn sources(self, role: Role) -> Vec<(String, &'static str)> {
        let place = |path: &str, text| (path.to_owned(), text);
        match self {
            Self::Rust => vec![
                place("Cargo.toml", template!("rust/Cargo.toml")),
                place("src/lib.rs", each_role!(role, "rust/", ".rs")),
            ],
            Self::Python => vec![place("src/app.py", each_role!(role, "python/", ".py"))],
            Self::Js => vec![
                place("package.json", template!("js/package.json")),
                place("src/plugin.js", each_role!(role, "js/", ".js")),
                place("src/text.js", template!("js/text.js")),
            ],
            Self::Go => vec![
                place("go.mod", template!("go/go.mod")),
                place("go.sum", template!("go/go.sum")),
                place("export_hostler_plugin_manifest/manifest.go", template!("go/manifest.go")),
                place(&format!("export_{}/plugin.go", export(role)), each_role!(role, "go/", ".go")),
            ],
            Self::C => vec![
                place("src/plugin.c", each_role!(role, "c/", ".c")),
                place("src/manifest.h", template!("c/manifest.h")),
                place("src/text.h", template!("c/text.h")),
            ],
        }
    }
}

/// The package of the contract that a role belongs to.
const fn package(role: Role) -> &'static str {
    match role {
        Role::Trigger => "trigger",
        Role::Inbound | Role::Outbound => "extension",
        Role::Builder => "builder",
        Role::Renderer => "renderer",
        Role::Relay => "relay",
    }
}

const fn contract(role: Role) -> &'static str {
    match role {
        Role::Trigger => wit!("trigger"),
        Role::Inbound | Role::Outbound => wit!("extension"),
        Role::Builder => wit!("builder"),
        Role::Renderer => wit!("renderer"),
        Role::Relay => wit!("relay"),
    }
}

/// What bindings call the interface of a role.
fn export(role: Role) -> String {
    format!("hostler_{}_{role}", package(role))
}

/// Every file of a new project.
pub(crate) fn files(name: &Slug, role: Role, language: Language) -> Vec<File> {
    let (build, ignored) = language.tools();
    let mut files = vec![
        ("README.md".to_owned(), template!("README.md")),
        ("manifest.json".to_owned(), each_role!(role, "roles/", "/manifest.json")),
        ("cases.json".to_owned(), each_role!(role, "roles/", "/cases.json")),
        ("build.sh".to_owned(), build),
        (".gitignore".to_owned(), ignored),
    ];
    files.extend(language.sources(role));
    let fill = |(path, text): (String, &str)| File {
        executable: path == "build.sh",
        bytes: filled(text, name, role, language).into_bytes(),
        path,
    };
    let mut files: Vec<File> = files.into_iter().map(fill).collect();
    let whole = |path: String, bytes: &[u8]| File { path, bytes: bytes.to_vec(), executable: false };
    // As they are: their text is the contract.
    files.push(whole(format!("wit/{}.wit", package(role)), contract(role).as_bytes()));
    files.push(whole("wit/deps/plugin/plugin.wit".into(), wit!("plugin").as_bytes()));
    files.push(whole("wit/deps/host/host.wit".into(), wit!("host").as_bytes()));
    if language == Language::Go {
        let adapter = wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;
        files.push(whole("adapter.wasm".into(), adapter));
    }
    files
}

fn filled(template: &str, name: &Slug, role: Role, language: Language) -> String {
    let mut text = String::new();
    for line in template.lines() {
        let line = match line.strip_prefix('@').and_then(|rest| rest.split_once(' ')) {
            Some((word, rest)) if word == role.as_str() || word == language.as_str() => rest,
            Some((word, _)) if is_choice(word) => continue,
            Some(_) | None => line,
        };
        text.push_str(line);
        text.push('\n');
    }
    text.replace("__NAME__", name.as_str())
        .replace("__WORLD__", &format!("{role}-plugin"))
        .replace("__PACKAGE__", package(role))
        .replace("__EXPORT__", &export(role))
}

fn is_choice(word: &str) -> bool {
    let languages: &[Language] = clap::ValueEnum::value_variants();
    Role::ALL.iter().any(|role| role.as_str() == word) || languages.iter().any(|language| language.as_str() == word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;
    use hostler_plugin::{Cases, Manifest};

    #[test]
    fn every_project_is_whole_and_names_itself() {
        let name = Slug::parse("my-plugin").expect("a slug");
        for role in Role::ALL {
            for language in Language::value_variants() {
                let files = files(&name, role, *language);
                let text = |path: &str| {
                    let file = files.iter().find(|file| file.path == path).expect("it is there");
                    String::from_utf8(file.bytes.clone()).expect("text")
                };
                let manifest = Manifest::parse(&text("manifest.json")).expect("a good manifest");
                assert_eq!((manifest.name, manifest.roles.len()), (name.clone(), 1));
                assert!(manifest.roles.contains_key(&role));
                let cases = Cases::parse(&text("cases.json")).expect("good cases");
                assert!(cases.list().iter().all(|case| case.function.role() == Some(role)));
                assert!(text("build.sh").contains("my-plugin.wasm"));
                for file in files.iter().filter(|file| file.path != "adapter.wasm") {
                    let text = String::from_utf8(file.bytes.clone()).expect("text");
                    assert!(!text.contains("__NAME__") && !text.contains("__WORLD__"), "{}", file.path);
                    let choice = |line: &str| line.starts_with('@') && !line.starts_with("@since");
                    assert!(!text.lines().any(choice), "{} {role} {language:?}", file.path);
                }
            }
        }
    }
}
