//! The rules of the style guide for Rust files: module docs, lengths, and words that may not stay.
//!
//! A rule that names itself in its message can be lifted at one place by a comment on that line or the one above it:
//! `tidy: allow(sleep), because …`. The reason is asked for, as the style guide does.

use std::collections::BTreeSet;

use super::source::{Line, Source};
use super::{File, Findings, Tree};

pub(super) const LINE_CHARACTERS_MAX: usize = 120;
const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 800;
const FILE_LINES_COMFORTABLE: usize = 400;

pub(super) fn check(tree: &Tree, findings: &mut Findings) {
    let sources: Vec<(&File, Source)> = tree
        .files
        .iter()
        .filter(|file| file.path.ends_with(".rs"))
        .map(|file| (file, Source::read(&file.text)))
        .collect();
    let test_modules: BTreeSet<String> = sources
        .iter()
        .flat_map(|(file, source)| source.test_modules.iter().map(|module| place_of_module(&file.path, module)))
        .collect();
    for (file, source) in &sources {
        let for_tests = is_for_tests(&file.path, &test_modules);
        check_shape(file, source, findings);
        check_words(file, source, for_tests, findings);
    }
}

/// The path of a module in its own file, without the ending: its file and its folder both begin with it.
fn place_of_module(declared_in: &str, module: &str) -> String {
    let (folder, name) = declared_in.rsplit_once('/').unwrap_or(("", declared_in));
    match name {
        "lib.rs" | "main.rs" | "mod.rs" => format!("{folder}/{module}"),
        _ => format!("{folder}/{}/{module}", name.trim_end_matches(".rs")),
    }
}

fn is_for_tests(path: &str, test_modules: &BTreeSet<String>) -> bool {
    let below = |place: &String| path.strip_prefix(place.as_str()).is_some_and(|rest| rest.starts_with(['.', '/']));
    path.split('/').any(|part| matches!(part, "tests" | "benches")) || test_modules.iter().any(below)
}

fn check_shape(file: &File, source: &Source, findings: &mut Findings) {
    if !file.text.starts_with("//!") {
        findings.fail(&file.path, 1, "a file opens with `//!`: what it is for, its invariants, what it must not know");
    }
    let count = source.lines.len();
    if count > FILE_LINES_MAX {
        let message = format!("{count} lines: split it by nouns, {FILE_LINES_MAX} is the end");
        findings.fail(&file.path, 1, message);
    } else if count > FILE_LINES_COMFORTABLE {
        findings.note(&file.path, 1, format!("{count} lines, {FILE_LINES_COMFORTABLE} are comfortable"));
    }
    check_widths(file, source, findings);
    for function in &source.functions {
        if function.length > FUNCTION_LINES_MAX && !function.lifted {
            let message =
                format!("`{}` has {} lines, {FUNCTION_LINES_MAX} are the end", function.name, function.length);
            findings.fail(&file.path, function.line, message);
        }
    }
}

fn check_widths(file: &File, source: &Source, findings: &mut Findings) {
    for (index, line) in file.text.lines().enumerate() {
        let length = line.chars().count();
        // An address can not be broken at all.
        if length <= LINE_CHARACTERS_MAX || line.contains("://") {
            continue;
        }
        let message = format!("{length} characters in a line, {LINE_CHARACTERS_MAX} are the end");
        let Line { code, comment } = &source.lines[index];
        // rustfmt breaks code; comments we break ourselves; a long text in a string is often clearer unbroken.
        if code.chars().count() + comment.chars().count() > LINE_CHARACTERS_MAX {
            findings.fail(&file.path, index + 1, message);
        } else {
            findings.note(&file.path, index + 1, message);
        }
    }
}

fn check_words(file: &File, source: &Source, for_tests: bool, findings: &mut Findings) {
    for (index, line) in source.lines.iter().enumerate() {
        let test = for_tests || source.in_test[index];
        let code = line.code.as_str();
        let mut object = |rule: &str, message: &str| {
            if !is_lifted(source, index, rule) {
                findings.fail(&file.path, index + 1, format!("{message} ({rule})"));
            }
        };
        if !test && code.contains(".unwrap()") {
            object("unwrap", "no unwrap outside tests: return an error, or expect with the reason it cannot be");
        }
        if test && calls(code, "sleep") {
            object("sleep", "no sleep in tests: wait on a condition with a limit");
        }
        if code.contains("#[ignore") {
            object("ignore", "a test that does not run is no test: repair it or delete it");
        }
        for name in ["dbg!", "todo!", "unimplemented!"] {
            if calls(code, name) {
                object("unfinished", &format!("`{name}` does not get committed"));
            }
        }
        if let Some(word) = super::text::unfinished_word(&line.comment) {
            object("unfinished", &format!("`{word}` is not a plan: do it, or file an issue"));
        }
    }
}

/// Whether code calls something of exactly this name.
fn calls(code: &str, name: &str) -> bool {
    let call = format!("{name}(");
    code.match_indices(&call).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|character| character.is_alphanumeric() || character == '_')
    })
}

fn is_lifted(source: &Source, index: usize, rule: &str) -> bool {
    let sentence = format!("tidy: allow({rule}), because ");
    source.lines[index.saturating_sub(1)..=index].iter().any(|line| line.comment.contains(&sentence))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str, expected: &[&str]) {
        let mut findings = Findings::default();
        super::check(&Tree::of(&[(path, text)]), &mut findings);
        assert_eq!(findings.lines(), expected);
    }

    #[test]
    fn a_file_without_module_docs_is_found() {
        let message = "a/src/b.rs:1: a file opens with `//!`: what it is for, its invariants, what it must not know";
        check("a/src/b.rs", "fn a() {}\n", &[message]);
        check("a/src/b.rs", "//! What it is for.\n\nfn a() {}\n", &[]);
    }

    #[test]
    fn long_lines_functions_and_files_are_found() {
        let long = format!("//! A.\nconst A: u8 = 1; // {}\n", "x".repeat(120));
        check("a.rs", &long, &["a.rs:2: 140 characters in a line, 120 are the end"]);
        let inside_string = format!("//! A.\nconst A: &str = \"\n{}\n\";\n", "x".repeat(140));
        check("a.rs", &inside_string, &[]);
        let body = "    a();\n".repeat(71);
        check("a.rs", &format!("//! A.\nfn b() {{\n{body}}}\n"), &["a.rs:2: `b` has 71 lines, 70 are the end"]);
        let attribute = "#[expect(clippy::too_many_lines, reason = \"a flat match\")]";
        check("a.rs", &format!("//! A.\n{attribute}\nfn b() {{\n{body}}}\n"), &[]);
        let file = format!("//! A.\n{}", "const A: u8 = 1;\n".repeat(800));
        check("a.rs", &file, &["a.rs:1: 801 lines: split it by nouns, 800 is the end"]);
    }

    #[test]
    fn words_that_may_not_stay_are_found_in_code_and_comments_only() {
        let text = "//! A.\nfn a() {\n    b().unwrap();\n    dbg!(c);\n    d(\"todo!() dbg!() .unwrap()\");\n}\n";
        let unwrap = "no unwrap outside tests: return an error, or expect with the reason it cannot be (unwrap)";
        let expected = [&format!("a.rs:3: {unwrap}"), "a.rs:4: `dbg!` does not get committed (unfinished)"];
        check("a.rs", text, &expected);
        let word = ["FIX", "ME"].concat();
        let expected = format!("a.rs:2: `{word}` is not a plan: do it, or file an issue (unfinished)");
        check("a.rs", &format!("//! A.\n// {word}: later\n"), &[&expected]);
    }

    #[test]
    fn tests_may_unwrap_but_neither_sleep_nor_be_ignored() {
        let text = "//! A.\n#[cfg(test)]\nmod tests {\n    #[test]\n    #[ignore]\n    fn a() {\n        \
                    b().unwrap();\n        thread::sleep(c);\n    }\n}\n";
        let ignored = "a.rs:5: a test that does not run is no test: repair it or delete it (ignore)";
        check("a.rs", text, &[ignored, "a.rs:8: no sleep in tests: wait on a condition with a limit (sleep)"]);
        check("a.rs", "//! A.\nfn a() {\n    thread::sleep(c);\n    not_sleep(d);\n}\n", &[]);
    }

    #[test]
    fn a_file_declared_for_tests_is_a_test() {
        let parent = ("a/src/run.rs", "//! A.\n#[cfg(test)]\nmod laws;\n");
        let laws = ("a/src/run/laws.rs", "//! B.\nfn a() {\n    b().unwrap();\n    sleep(c);\n}\n");
        let mut findings = Findings::default();
        super::check(&Tree::of(&[parent, laws]), &mut findings);
        let expected = "a/src/run/laws.rs:4: no sleep in tests: wait on a condition with a limit (sleep)";
        assert_eq!(findings.lines(), [expected]);
    }

    #[test]
    fn a_rule_is_lifted_with_its_reason_only() {
        let with = |comment: &str| format!("//! A.\nfn a() {{\n    // {comment}\n    sleep(c);\n}}\n");
        check("a/tests/b.rs", &with("tidy: allow(sleep), because the loop below it has a limit."), &[]);
        let message = "a/tests/b.rs:4: no sleep in tests: wait on a condition with a limit (sleep)";
        check("a/tests/b.rs", &with("tidy: allow(sleep)"), &[message]);
    }
}
