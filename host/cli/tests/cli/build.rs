//! Documents that are built: YAML through the embedded builder, and builders that break.

use crate::components::components;
use crate::support::Home;
use std::path::Path;

const GOOD: &str = "\
id: report
params:
  day: {type: string, default: today}
tasks:
  extract:
    process:
      script: |
        echo \"extracting $day\"
        echo rows=12 > \"$HOSTLER_OUTPUT\"
  publish:
    process: {argv: [echo, 'rows:', '${tasks.extract.outputs.rows}']}
    depends_on: [extract]
";

const BAD: &str = "\
id: Bad Name
timout: 5s
tasks:
  a: &a
    process:
      argv: ['true']
    timeout: soon
  b:
    process: {argv: []}
    depends_on: [missing]
  c: *a
";

#[test]
fn yaml_is_checked_run_and_registered_as_json_is() {
    let home = Home::new();
    let file = home.file("report.yaml", GOOD);
    insta::assert_snapshot!(home.run(&["validate", &file]).shown(), @r"
    exit 0
    --- out
    [home]/report.yaml: valid, pipeline `report` with 2 tasks and 1 dependency
    ");
    let printed = home.run(&["validate", &file, "--print"]).json();
    assert_eq!(printed["tasks"]["publish"]["process"]["argv"][2], "${tasks.extract.outputs.rows}");
    assert_eq!(home.run_with_input(&["validate", "-", "--builder", "yaml"], GOOD).code, 0);
    let ran = home.run(&["local", "run", &file, "-p", "day=monday"]);
    assert!(ran.out.contains("extracting monday") && ran.out.contains("rows: 12"), "{}{}", ran.out, ran.err);
    let _host = home.serve();
    insta::assert_snapshot!(home.run(&["up", &file]).shown(), @r"
    exit 0
    --- out
    report: version 1 registered, released
    ");
    let same = home.file("report.json", &printed.to_string());
    insta::assert_snapshot!(home.run(&["up", &same]).shown(), @r"
    exit 0
    --- out
    report: unchanged, version 1, released
    ");
    assert_eq!(home.run(&["run", "start", "report", "--watch"]).code, 0);
}

#[test]
fn mistakes_are_shown_in_the_authors_own_lines() {
    let home = Home::new();
    let file = home.file("bad.yaml", BAD);
    insta::assert_snapshot!(home.run(&["validate", &file]).shown(), @r"
    exit 2
    --- err
    error: `[home]/bad.yaml` is not a valid pipeline: 6 problems
    [home]/bad.yaml:1:5: `Bad Name` begins with `B`; a name begins with a letter a-z or a digit
      1 | id: Bad Name
        |     ^
    [home]/bad.yaml:2:1: a pipeline has no field `timout`
      2 | timout: [span]
        | ^
      hint: did you mean `timeout`?
    [home]/bad.yaml:7:14: `soon` is not a duration; write a number and a unit of ms, s, m, h or d, such as `90s` or `1h30m`
      7 |     timeout: soon
        |              ^
    [home]/bad.yaml:9:21: must name a command
      9 |     process: {argv: []}
        |                     ^
    [home]/bad.yaml:10:18: there is no task `missing`
      10 |     depends_on: [missing]
         |                  ^
    [home]/bad.yaml:11:3: `soon` is not a duration; write a number and a unit of ms, s, m, h or d, such as `90s` or `1h30m`
      11 |   c: *a
         |   ^
    ");
    let told = home.run(&["up", &file, "--json"]).err;
    let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    let second = &told["error"]["problems"][1];
    assert_eq!(
        (second["at"].as_str(), second["line"].as_u64(), second["column"].as_u64()),
        (Some("/timout"), Some(2), Some(1))
    );
    assert_eq!(second["file"].as_str(), Some("[home]/bad.yaml"));
}

#[test]
fn mistakes_of_yaml_are_shown_where_they_are() {
    let home = Home::new();
    let text = "id: x\ntasks:\n  a: {}\n  a: {}\n\tb: {}\n---\nid: [y\n";
    let file = home.file("odd.yml", text);
    insta::assert_snapshot!(home.run(&["validate", &file]).shown(), @r"
    exit 2
    --- err
    error: `[home]/odd.yml` is not a valid pipeline: 3 problems
    [home]/odd.yml:4:3: the key `a` stands in line 3 already
      4 |   a: {}
        |   ^
    [home]/odd.yml:5:2: a tab stands where the indentation is
      5 |  b: {}
        |  ^
      hint: indent with spaces
    [home]/odd.yml:7:5: this `[` is never closed
      7 | id: [y
        |     ^
    ");
}

#[test]
fn hostile_yaml_is_refused_without_harm() {
    let home = Home::new();
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..30 {
        bomb.push_str(&format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(", ")));
    }
    let cases: [(&str, &[u8], &str); 6] = [
        ("bomb", bomb.as_bytes(), "with its aliases written out, this has more than 16 MiB"),
        ("binary", b"\x7fELF\x02\x01\x01\0\xff\xfe", "this is not UTF-8"),
        ("nul", b"id: \0\n", "the character U+0000 has no place in a text file"),
        ("deep", &b"[".repeat(1_000_000), "nested deeper than 64 levels"),
        ("empty", b"", "holds no document"),
        ("huge", &b"# filler\n".repeat(2 << 20), "is larger than 16MiB"),
    ];
    for (name, bytes, expected) in cases {
        let file = home.file(&format!("{name}.yaml"), "");
        std::fs::write(&file, bytes).expect("written");
        let ran = home.run(&["validate", &file]);
        assert_eq!(ran.code, 2, "{name}: {}", ran.err);
        assert!(ran.err.starts_with("error: ") && ran.err.contains(expected), "{name}: {}", ran.err);
        assert!(ran.err.len() < 2_000 && !ran.err.contains('\u{1b}'), "{name}: {}", ran.err);
    }
}

#[test]
fn a_large_file_is_built() {
    let home = Home::new();
    let tasks: String = (0..20_000).map(|n| format!("  t{n}:\n    process: {{argv: [echo, '{n}']}}\n")).collect();
    let file = home.file("large.yaml", &format!("id: large\ntasks:\n{tasks}  wrong: {{timeout: soon}}\n"));
    let ran = home.run(&["validate", &file]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("large.yaml:40003:") && ran.err.contains("`soon` is not a duration"), "{}", ran.err);
}

#[test]
fn a_file_may_hold_several_pipelines() {
    let home = Home::new();
    let several = "id: one\ntasks: {a: {process: {argv: [echo, first]}}}\n---\nid: two\ntasks: {b: {process: {argv: [echo, second]}}}\n";
    let file = home.file("several.yaml", several);
    insta::assert_snapshot!(home.run(&["validate", &file]).shown(), @r"
    exit 0
    --- out
    [home]/several.yaml: valid, pipeline `one` with 1 task and 0 dependencies
    [home]/several.yaml: valid, pipeline `two` with 1 task and 0 dependencies
    ");
    insta::assert_snapshot!(home.run(&["local", "run", &file]).shown(), @r"
    exit 2
    --- err
    error: one pipeline can be run, and the file holds `one`, `two`
    hint: name it with --pipeline
    ");
    let ran = home.run(&["local", "run", &file, "--pipeline", "two"]);
    assert!(ran.code == 0 && ran.out.contains("second") && !ran.out.contains("first"), "{}{}", ran.out, ran.err);
    assert_eq!(home.run(&["local", "run", &file, "--pipeline", "three"]).code, 6);
    let _host = home.serve();
    insta::assert_snapshot!(home.run(&["up", &file]).shown(), @r"
    exit 0
    --- out
    one: version 1 registered, released
    two: version 1 registered, released
    ");
    let half =
        home.file("half.yaml", &several.replace("first", "changed").replace("second]}}", "second]}, timeout: soon}"));
    let ran = home.run(&["up", &half]);
    assert!(ran.code == 2 && ran.err.contains("half.yaml:5:"), "{}", ran.err);
    let versions = home.run(&["pipeline", "versions", "one", "--json"]).json();
    assert_eq!(versions.as_array().map(Vec::len), Some(1), "none is registered before all are valid");
    let twice = home.file("twice.yaml", &several.replace("two", "one"));
    insta::assert_snapshot!(home.run(&["validate", &twice]).shown(), @r"
    exit 2
    --- err
    error: `[home]/twice.yaml` is not a valid pipeline
    [home]/twice.yaml:4:5: pipeline `one` is described twice
      4 | id: one
        |     ^
    ");
}

#[test]
fn a_builder_is_picked_by_name_or_said() {
    let home = Home::new();
    let hostile = components().join("hostile_builder.wasm").display().to_string();
    let toml = home.file("report.toml", GOOD);
    insta::assert_snapshot!(home.run(&["validate", &toml]).shown(), @r"
    exit 2
    --- err
    error: no builder reads files named like `report.toml`
    hint: name one with --builder; a JSON document has a name that ends in `.json`, or comes from `-`
    ");
    assert_eq!(home.run(&["validate", &toml, "--builder", "yaml"]).code, 0);
    insta::assert_snapshot!(home.run(&["validate", &toml, "--builder", "nobody"]).shown(), @r"
    exit 6
    --- err
    error: there is no plugin `nobody` here, nor on a host
    hint: there is `yaml`; others are named in the config, installed on the host, or named by the path of their component
    ");
    let ran = home.run(&["validate", &toml, "--builder", "interval"]);
    assert!(ran.code == 2 && ran.err.contains("plugin `interval` is no builder"), "{}", ran.err);
    let ran = home.run(&["validate", &toml, "--builder", "./nowhere.wasm"]);
    assert!(ran.code == 2 && ran.err.contains("cannot be read"), "{}", ran.err);
    let ran = home.run(&["validate", "."]);
    assert!(ran.code == 2 && ran.err.contains("nothing says which builder reads it"), "{}", ran.err);
    let ran = home.run(&["validate", ".", "--builder", &hostile]);
    assert!(ran.code == 0 && ran.out.contains("pipeline `of-a-folder`"), "{}{}", ran.out, ran.err);
    home.file(
        ".config/hostler/config.toml",
        &format!("[plugins.one]\npath = \"{hostile}\"\n[plugins.two]\npath = \"{hostile}\"\n"),
    );
    let ran = home.run(&["validate", &home.file("x.both", "")]);
    assert!(ran.code == 2 && ran.err.contains("are read by `one` and `two`"), "{}", ran.err);
    assert_eq!(home.run(&["validate", &home.file("x.both", ""), "--builder", "two"]).code, 0);
    let ran = home.run(&["validate", &toml, "--builder", "yaml", "--build-param", "x=1"]);
    assert!(ran.code == 2 && ran.err.contains("takes no params"), "{}", ran.err);
}

#[test]
fn a_builder_that_is_installed_on_the_host_is_brought_here() {
    let home = Home::new();
    let _host = home.serve();
    let hostile = components().join("hostile_builder.wasm").display().to_string();
    home.run(&["plugin", "install", &hostile, "--as", "foe", "--yes"]).ok();
    let file = home.file("good.hostile", "");
    assert_eq!(home.run(&["up", &file, "--builder", "foe"]).ok(), "good: version 1 registered, released\n");
    // By the name of the file alone, as `*.hostile` stands in its manifest.
    assert_eq!(home.run(&["up", &file]).ok(), "good: unchanged, version 1, released\n");
    let entries = home.run(&["plugin", "get", "foe", "--json"]).json()["entries"].clone();
    assert!(entries.to_string().contains("*.hostile"), "{entries}");
    home.run(&["plugin", "install", &hostile, "--as", "twin", "--yes"]).ok();
    let both = home.run(&["up", &file]);
    assert!(both.code == 2 && both.err.contains("are read by `foe` and `twin`"), "{}", both.err);
    home.run(&["plugin", "uninstall", "twin"]).ok();
    home.run(&["plugin", "disable", "foe"]).ok();
    let ran = home.run(&["up", &file, "--builder", "foe"]);
    assert!(ran.code == 9 && ran.err.contains("plugin `foe` is not to be called on this host"), "{}", ran.err);
    assert_eq!(home.run(&["up", &file, "--builder", "nobody"]).code, 6);
}

#[test]
fn a_builder_that_breaks_says_so_and_harms_nobody() {
    let home = Home::new();
    let hostile = components().join("hostile_builder.wasm").display().to_string();
    let config = format!("[build]\ntimeout = \"1s\"\nmemory = \"32MiB\"\n[plugins.foe]\npath = \"{hostile}\"\n");
    home.file(".config/hostler/config.toml", &config);
    let build = |how: &str, more: &[&str]| {
        let file = home.file(&format!("{how}.hostile"), "");
        home.run(&[&["validate", &file], more].concat())
    };
    for (how, expected) in [
        ("spin", "not done after 1s"),
        ("panic", "the sky falls"),
        ("hoard", "for all builders: `build.memory` in the config"),
        ("failed", "cannot work"),
        ("no-json", "wrong answer: document 0: its body is no JSON object"),
        ("no-object", "wrong answer: document 0: its body is no JSON object"),
        ("kind", "`poem` is no kind of document"),
        ("subscription", "subscriptions in documents are not in this version"),
        ("nothing", "made no document"),
        ("no-origins", "[home]/no-origins.hostile: /taks: a pipeline has no field `taks`"),
        ("outside", "[home]/../../../etc/passwd:1:1: secret?"),
    ] {
        let ran = build(how, &[]);
        assert_eq!(ran.code, 2, "{how}: {}", ran.err);
        assert!(
            ran.err.contains(expected) && !ran.err.contains('\u{1b}') && !ran.err.contains("root:"),
            "{how}: {}",
            ran.err
        );
    }
    let noted = build("notes", &[]);
    assert!(noted.code == 0 && noted.err.contains("note: [home]/notes.hostile:2:1: left"), "{}", noted.err);
    let printed = build("params", &["--print", "--build-param", "count:=7"]).json();
    assert_eq!(printed["description"], "{\"count\":7}");
    assert_eq!(build("params", &["--build-param", "count=seven"]).code, 2);
}

#[test]
fn a_builder_sees_only_what_its_manifest_asks_for() {
    let home = Home::new();
    let hostile = components().join("hostile_builder.wasm").display().to_string();
    home.file("secret.part", "secret");
    home.file("p/secret.txt", "secret");
    home.file("p/parts/one.part", "Not A Name\n");
    std::os::unix::fs::symlink(home.path().join("secret.part"), home.path().join("p/link.part")).expect("a link");
    let file = home.file("p/folder.hostile", "");
    let printed = home.run(&["validate", &file, "--builder", &hostile, "--print"]).json();
    assert_eq!(printed["description"], "folder.hostile link.part parts/one.part; ");
    let file = home.file("p/part.hostile", "");
    insta::assert_snapshot!(home.run(&["validate", &file, "--builder", &hostile]).shown(), @r"
    exit 2
    --- err
    error: `[home]/p/part.hostile` is not a valid pipeline
    [home]/p/parts/one.part:1:1: `Not A Name` begins with `N`; a name begins with a letter a-z or a digit
      1 | Not A Name
        | ^
    ");
}

#[test]
fn the_examples_build_to_their_golden_files() {
    let home = Home::new();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipelines");
    for name in ["hello", "retry-and-branch", "containers"] {
        let file = examples.join(name).join("pipeline.yaml");
        let golden = std::fs::read_to_string(file.with_extension("json")).expect("a golden file");
        let printed = home.run(&["validate", &file.display().to_string(), "--print"]).out;
        let again = format!("hostler validate pipelines/{name}/pipeline.yaml --print > pipelines/{name}/pipeline.json");
        assert_eq!(printed, golden, "type: {again}");
    }
}
