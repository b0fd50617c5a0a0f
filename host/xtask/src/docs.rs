//! Keeps `docs/reference` as the built binary prints it, so that the reference can not say what the program does not.
//!
//! A page is a file and the arguments of the hidden command `hostler reference` that prints it.
//! Must not know what stands on a page.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use crate::machine::Machine;
use crate::process;

struct Page {
    file: &'static str,
    arguments: &'static [&'static str],
}

const FOLDER: &str = "docs/reference";

const PAGES: &[Page] = &[
    Page { file: "cli.md", arguments: &["cli"] },
    Page { file: "config.md", arguments: &["config"] },
    Page { file: "exit-codes.md", arguments: &["exit-codes"] },
    Page { file: "openapi.json", arguments: &["openapi"] },
    Page { file: "pipeline.schema.json", arguments: &["document"] },
];

pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    crate::expect_only(&["--check"], arguments)?;
    let machine = Machine::here()?;
    process::run(&mut machine.cargo(&["build", "--locked", "--workspace", "--bin", "hostler"]))?;
    if arguments.is_empty() {
        write(&machine.root, &machine.hostler())
    } else {
        check(&machine.root, &machine.hostler())
    }
}

/// Compare every committed page with what the binary prints now.
///
/// A page that is not committed is no failure here: whoever needs it links to it, and a link that leads nowhere is
/// found by tidy.
pub(crate) fn check(root: &Path, hostler: &Path) -> anyhow::Result<()> {
    let mut stale = Vec::new();
    for page in PAGES {
        let path = root.join(FOLDER).join(page.file);
        if !path.exists() {
            eprintln!("{FOLDER}/{} is not written yet: `cargo xtask docs` writes it", page.file);
            continue;
        }
        let committed = std::fs::read_to_string(&path).with_context(|| format!("failed to read {}", page.file))?;
        if committed != print(hostler, page)? {
            stale.push(format!("{FOLDER}/{}", page.file));
        }
    }
    if !stale.is_empty() {
        bail!("out of date: {}; run `cargo xtask docs` and commit what changes", stale.join(", "));
    }
    Ok(())
}

fn write(root: &Path, hostler: &Path) -> anyhow::Result<()> {
    let folder = root.join(FOLDER);
    std::fs::create_dir_all(&folder).with_context(|| format!("failed to make {FOLDER}"))?;
    for page in PAGES {
        let text = print(hostler, page)?;
        std::fs::write(folder.join(page.file), text).with_context(|| format!("failed to write {}", page.file))?;
        println!("{FOLDER}/{}", page.file);
    }
    Ok(())
}

fn print(hostler: &Path, page: &Page) -> anyhow::Result<String> {
    // A page must not depend on who prints it: width, colours and settings come from the environment.
    let mut command = Command::new(hostler);
    command.arg("reference").args(page.arguments).env_clear();
    let text = process::read(&mut command)?;
    if text.trim().is_empty() {
        bail!("`hostler reference {}` prints nothing", page.arguments.join(" "));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stands in for the binary: it prints its arguments, so that every page is known and none is empty.
    const PRINTS_ARGUMENTS: &str = "/bin/echo";

    #[test]
    fn a_page_that_differs_from_what_the_binary_prints_is_out_of_date() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), Path::new(PRINTS_ARGUMENTS)).unwrap();
        check(root.path(), Path::new(PRINTS_ARGUMENTS)).unwrap();
        std::fs::write(root.path().join(FOLDER).join("cli.md"), "old\n").unwrap();
        let error = check(root.path(), Path::new(PRINTS_ARGUMENTS)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "out of date: docs/reference/cli.md; run `cargo xtask docs` and commit what changes"
        );
    }

    #[test]
    fn a_page_that_is_not_written_yet_is_no_failure_but_an_empty_one_is() {
        let root = tempfile::tempdir().unwrap();
        check(root.path(), Path::new(PRINTS_ARGUMENTS)).unwrap();
        let error = write(root.path(), Path::new("/bin/true")).unwrap_err();
        assert_eq!(error.to_string(), "`hostler reference cli` prints nothing");
    }
}
