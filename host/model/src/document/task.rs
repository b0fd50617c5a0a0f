//! Reads one task.
//!
//! Invariants: tasks it names are numbered as in the document until `graph` has put them in order; what `depends_on`
//! says stays with its place, for the problems that only show when all tasks are read.

use super::fields::{Decoder, Keys};
use super::findings::Path;
use super::text::{Member, Node, Shape};
use crate::spec::{
    Argument, Condition, Dependency, Join, OnLost, Piece, Process, Reference, Retry, Task, TaskKind, Wasm,
};
use crate::{Bytes, Duration, Slug, TaskIndex};
use std::collections::HashSet;
use std::path::PathBuf;

const TASK: Keys = Keys {
    owner: "a task",
    known: &[
        "description",
        "process",
        "container",
        "wasm",
        "env",
        "depends_on",
        "join",
        "retry",
        "timeout",
        "grace",
        "allow_failure",
        "success_codes",
        "on_lost",
    ],
    later: &[
        ("wait", "`wait` tasks are"),
        ("input", "`input` tasks are"),
        ("http", "`http` tasks are"),
        ("git", "`git` tasks are"),
        ("secrets", "`secrets` are"),
        ("foreach", "`foreach` is"),
        ("locks", "`locks` are"),
        ("labels", "`labels` are"),
        ("pin", "`pin` is"),
        ("name", "a `name` beside the task's own is"),
    ],
};
const PROCESS: Keys = Keys {
    owner: "a process",
    known: &["script", "argv", "shell"],
    later: &[("user", "`user` is"), ("stdin", "`stdin` of a process is")],
};
const WASM: Keys = Keys {
    owner: "a wasm task",
    known: &["component", "args", "stdin", "memory"],
    later: &[("pin", "`pin` is"), ("network", "`network` is"), ("fuel", "`fuel` is")],
};
const RETRY: Keys = Keys { owner: "`retry`", known: &["attempts", "backoff", "factor", "backoff_max"], later: &[] };

const KINDS: [&str; 3] = ["process", "container", "wasm"];
/// What means something only where there is something to run.
const OF_RUNNING: [&str; 7] = ["env", "retry", "timeout", "grace", "allow_failure", "success_codes", "on_lost"];

const GRACE: Duration = Duration::from_secs(10);
const SHELL: &str = "/bin/sh";
/// One page of WebAssembly memory, and all that 32 bits can address.
const MEMORY: std::ops::RangeInclusive<Bytes> = Bytes(64 << 10)..=Bytes(4 << 30);

/// Where a dependency stands, for the checks that come when all tasks are read.
pub(super) struct Place {
    pub(super) at: u32,
    /// In a list of dependencies, which one.
    pub(super) index: Option<usize>,
}

/// A task with what is needed to say where its parts stand.
pub(super) struct Draft<'a> {
    pub(super) task: Task,
    /// Its name as written, which need not be a slug.
    pub(super) name: &'a str,
    /// It has no kind at all, nor anything that may be meant for one.
    pub(super) is_merge: bool,
    /// One for each of `task.depends_on`.
    pub(super) places: Vec<Place>,
}

impl<'a> Decoder<'a> {
    pub(super) fn task(&mut self, index: u32, member: &'a Member<'a>, path: &Path<'_>) -> Draft<'a> {
        self.task = Some(index);
        let path = &Path::Key(path, &member.key);
        let name = Slug::parse(&member.key).map_err(|why| self.findings.add(member.at, path, why.to_string()));
        let task = empty(name.unwrap_or_else(|()| placeholder()));
        let members = self.members(&member.node, path);
        // A key that nobody knows may be meant for a kind; it has a problem of its own.
        let without_kind = |key: &str| TASK.known.contains(&key) && !KINDS.contains(&key);
        let is_merge = members.iter().all(|field| without_kind(&field.key));
        let mut draft = Draft { task, name: &member.key, is_merge, places: Vec::new() };
        let task = &mut draft.task;
        for field in &members {
            let here = &Path::Key(path, &field.key);
            let node = &field.node;
            match &*field.key {
                "description" => task.description = self.text(node, here).map(Into::into),
                "process" => task.kind = self.process(node, here).map_or(TaskKind::None, TaskKind::Process),
                "container" => {
                    let container = self.container(node, here);
                    task.kind = container.map_or(TaskKind::None, |it| TaskKind::Container(Box::new(it)));
                }
                "wasm" => task.kind = self.wasm(node, here).map_or(TaskKind::None, TaskKind::Wasm),
                "env" => task.env = self.env(node, here),
                "depends_on" => (task.depends_on, draft.places) = self.depends_on(index, node, here),
                "join" => {
                    task.join = self.choice(node, here, &[("all", Join::All), ("any", Join::Any)]).unwrap_or_default();
                }
                "retry" => task.retry = self.retry(node, here),
                "timeout" => task.timeout = self.timeout(node, here),
                "grace" => task.grace = self.duration(node, here).unwrap_or(GRACE),
                "allow_failure" => task.allow_failure = self.boolean(node, here).unwrap_or_default(),
                "success_codes" => task.success_codes = self.exit_codes(node, here).unwrap_or_else(|| vec![0]),
                "on_lost" => {
                    let words = [("fail", OnLost::Fail), ("retry", OnLost::Retry)];
                    task.on_lost = self.choice(node, here, &words).unwrap_or_default();
                }
                _ => self.unknown(field, path, &TASK),
            }
        }
        self.check_kind(&members, is_merge, path);
        self.check_on_lost(&draft.task, &members, path);
        draft
    }

    /// One kind at most, and none of the fields that only a task with a kind can use without one.
    fn check_kind(&mut self, members: &[&Member<'a>], is_merge: bool, path: &Path<'_>) {
        let kinds: Vec<_> = members.iter().filter(|member| KINDS.contains(&&*member.key)).collect();
        if let [first, second, ..] = kinds.as_slice() {
            let message = format!("a task runs one thing, and `{}` is there already", first.key);
            self.findings.add(second.at, &Path::Key(path, &second.key), message);
        }
        for member in members.iter().filter(|member| is_merge && OF_RUNNING.contains(&&*member.key)) {
            let kinds = "`process`, `container` or `wasm`";
            let message = format!("`{}` has no meaning for a task without {kinds}, which runs nothing", member.key);
            self.findings.add(member.at, &Path::Key(path, &member.key), message);
        }
    }

    fn check_on_lost(&mut self, task: &Task, members: &[&Member<'a>], path: &Path<'_>) {
        if task.on_lost == OnLost::Fail || task.retry.attempts > 1 {
            return;
        }
        for member in members.iter().filter(|member| member.key == "on_lost") {
            let hint = "a lost attempt counts; set `retry.attempts` to 2 or more";
            let message = "a lost attempt cannot be tried again, since the task has one attempt";
            self.findings.add_with_hint(member.node.at, &Path::Key(path, "on_lost"), message, Some(hint.into()));
        }
    }

    fn process(&mut self, node: &Node<'a>, path: &Path<'_>) -> Option<Process> {
        let (mut script, mut argv, mut shell) = (None, None, None);
        let members = self.members(node, path);
        for member in &members {
            let here = &Path::Key(path, &member.key);
            match &*member.key {
                "script" => script = Some((member.at, self.full_text(&member.node, here).map(str::to_string))),
                "argv" => argv = Some(self.argv(&member.node, here)),
                "shell" => shell = Some((member.at, self.shell(&member.node, here))),
                _ => self.unknown(member, path, &PROCESS),
            }
        }
        let shell_without_script = shell.as_ref().filter(|_| script.is_none() && argv.is_some());
        if let Some((at, _)) = shell_without_script {
            self.findings.add(*at, &Path::Key(path, "shell"), "`shell` goes with `script`; no shell looks at `argv`");
        }
        match (script, argv) {
            (Some((at, _)), Some(_)) => {
                let message = "a process has a `script` or an `argv`, not both";
                self.findings.add(at, &Path::Key(path, "script"), message);
                None
            }
            (Some((_, text)), None) => {
                let shell = shell.and_then(|(_, shell)| shell).unwrap_or_else(|| SHELL.into());
                text.map(|text| Process::Script { shell, text })
            }
            (None, Some(argv)) => Some(Process::Argv(argv)),
            (None, None) => {
                if let Shape::Object(_) = node.shape {
                    self.findings.add(node.at, path, "a process needs a `script` or an `argv`");
                }
                None
            }
        }
    }

    fn shell(&mut self, node: &Node<'a>, path: &Path<'_>) -> Option<PathBuf> {
        let text = self.full_text(node, path)?;
        if text.contains('/') && !text.starts_with('/') {
            self.findings.add(node.at, path, "must be an absolute path, or a name that is looked up in `PATH`");
            return None;
        }
        Some(text.into())
    }

    fn argv(&mut self, node: &Node<'a>, path: &Path<'_>) -> Vec<Argument> {
        let argv = self.arguments(node, path);
        let Shape::Array(items) = &node.shape else { return argv };
        let Some(first) = items.first() else {
            self.findings.add(node.at, path, "must name a command");
            return argv;
        };
        let here = &Path::Index(path, 0);
        match argv.first() {
            Some(Argument::Literal(command)) if command.is_empty() => {
                self.findings.add(first.at, here, "the command must not be empty");
            }
            Some(Argument::Reference(_)) => {
                self.findings.add(first.at, here, "a reference must not choose the command; write it out");
            }
            Some(Argument::Literal(_)) | None => {}
        }
        argv
    }

    /// Arguments, none of which lets a value from outside become code.
    pub(super) fn arguments(&mut self, node: &Node<'a>, path: &Path<'_>) -> Vec<Argument> {
        let mut arguments: Vec<Argument> = Vec::new();
        for (index, item) in self.items(node, path).iter().enumerate() {
            let path = &Path::Index(path, index);
            // A problem in one element must not shift the others.
            let argument = self.argument(item, path).unwrap_or_else(|| Argument::Literal("?".into()));
            if let (Argument::Reference(_), Some(Argument::Literal(flag))) = (&argument, arguments.last())
                && takes_code(flag)
            {
                let message = format!("a value must not stand right after `{flag}`, where it would be run as code");
                let hint = "give it in `env`, or as a further argument of the script";
                self.findings.add_with_hint(item.at, path, message, Some(hint.into()));
            }
            arguments.push(argument);
        }
        arguments
    }

    fn wasm(&mut self, node: &Node<'a>, path: &Path<'_>) -> Option<Wasm> {
        let mut wasm = Wasm { component: PathBuf::new(), args: Vec::new(), stdin: None, memory_max: None };
        let members = self.members(node, path);
        for member in &members {
            let here = &Path::Key(path, &member.key);
            match &*member.key {
                "component" => wasm.component = self.component(&member.node, here).unwrap_or_default(),
                "args" => wasm.args = self.arguments(&member.node, here),
                "stdin" => wasm.stdin = self.pieces(&member.node, here),
                "memory" => wasm.memory_max = self.size(&member.node, here, &MEMORY).map(|size| size.0),
                _ => self.unknown(member, path, &WASM),
            }
        }
        if let Shape::Object(_) = node.shape
            && !members.iter().any(|member| member.key == "component")
        {
            self.findings.add(node.at, path, "a wasm task needs a `component`, the path of its file");
            return None;
        }
        Some(wasm)
    }

    fn component(&mut self, node: &Node<'a>, path: &Path<'_>) -> Option<PathBuf> {
        let text = self.full_text(node, path)?;
        if text.contains("://") {
            self.findings.add(node.at, path, "components by reference are not in this version of hostler; give a path");
            return None;
        }
        if !text.starts_with('/') {
            let hint = "`hostler up` makes it absolute against the folder of the document";
            self.findings.add_with_hint(node.at, path, "must be an absolute path", Some(hint.into()));
            return None;
        }
        Some(text.into())
    }

    fn retry(&mut self, node: &Node<'a>, path: &Path<'_>) -> Retry {
        let mut retry = Retry::default();
        let mut backoff_max = None;
        let members = self.members(node, path);
        for member in &members {
            let here = &Path::Key(path, &member.key);
            let node = &member.node;
            match &*member.key {
                "attempts" => retry.attempts = self.whole(node, here, &(1..=100)).unwrap_or(2),
                "backoff" => retry.backoff = self.duration(node, here).unwrap_or(retry.backoff),
                "factor" => retry.factor = self.whole(node, here, &(1..=100)).unwrap_or(retry.factor),
                "backoff_max" => backoff_max = self.duration(node, here).map(|longest| (node.at, longest)),
                _ => self.unknown(member, path, &RETRY),
            }
        }
        // A long backoff must not be cut by a limit that nobody wrote.
        retry.backoff_max = retry.backoff_max.max(retry.backoff);
        if let Some((at, longest)) = backoff_max {
            if longest < retry.backoff {
                let message = format!("is shorter than the first backoff, {}", retry.backoff);
                self.findings.add(at, &Path::Key(path, "backoff_max"), message);
            }
            retry.backoff_max = longest;
        }
        retry
    }

    fn depends_on(&mut self, task: u32, node: &Node<'a>, path: &Path<'_>) -> (Vec<Dependency>, Vec<Place>) {
        let (mut dependencies, mut places) = (Vec::new(), Vec::new());
        let mut keep = |found: Option<u32>, condition: Condition, at: u32, index: Option<usize>| {
            if let Some(found) = found {
                dependencies.push(Dependency { task: TaskIndex(found), condition });
                places.push(Place { at, index });
            }
        };
        match &node.shape {
            Shape::Array(items) => {
                let mut seen = HashSet::new();
                for (index, item) in items.iter().enumerate() {
                    let path = &Path::Index(path, index);
                    let Some(name) = self.text(item, path) else { continue };
                    if !seen.insert(name) {
                        let shown = super::findings::shorten(name);
                        self.findings.add(item.at, path, format!("depends on `{shown}` more than once"));
                        continue;
                    }
                    keep(self.dependency(task, name, item.at, path), Condition::Success, item.at, Some(index));
                }
            }
            Shape::Object(_) => {
                for member in self.members(node, path) {
                    let path = &Path::Key(path, &member.key);
                    let found = self.dependency(task, &member.key, member.at, path);
                    let condition = self.condition(&member.node, path);
                    keep(found, condition.unwrap_or(Condition::Always), member.at, None);
                }
            }
            _ => self.wrong_shape(node, path, "an array of task names, or an object from task name to condition"),
        }
        (dependencies, places)
    }

    fn dependency(&mut self, task: u32, name: &str, at: u32, path: &Path<'_>) -> Option<u32> {
        let found = self.names.get(name).copied();
        match found {
            None => self.no_such_task(name, at, path),
            Some(found) if found == task => self.findings.add(at, path, "a task cannot depend on itself"),
            Some(_) => return found,
        }
        None
    }

    fn condition(&mut self, node: &Node<'a>, path: &Path<'_>) -> Option<Condition> {
        let Shape::Object(_) = &node.shape else {
            let words = [("success", 0), ("failure", 1), ("always", 2)];
            if !matches!(node.shape, Shape::String(_)) {
                let wanted = "\"success\", \"failure\", \"always\" or {\"exit\": [codes]}";
                self.wrong_shape(node, path, wanted);
                return None;
            }
            let word = self.choice(node, path, &words)?;
            return Some([Condition::Success, Condition::Failure, Condition::Always][word].clone());
        };
        let exit = Keys { owner: "a condition", known: &["exit"], later: &[] };
        let members = self.members(node, path);
        let mut codes = None;
        for member in &members {
            match &*member.key {
                "exit" => codes = self.exit_codes(&member.node, &Path::Key(path, "exit")),
                _ => self.unknown(member, path, &exit),
            }
        }
        if members.is_empty() {
            self.findings.add(node.at, path, "a condition is a word or {\"exit\": [codes]}");
        }
        codes.map(Condition::Exit)
    }
}

/// Whether this flag makes a program run the argument that follows: `-c` and `-e`, also joined to others as in `sh
/// -ec`.
pub(super) fn takes_code(flag: &str) -> bool {
    let joined = flag.len() <= 5 && flag.starts_with('-') && !flag.starts_with("--") && flag.ends_with('c');
    joined || matches!(flag, "-e" | "--eval" | "--command" | "--execute")
}

/// The references of a task, to be changed: environment, arguments, standard input.
pub(super) fn references_mut(task: &mut Task) -> impl Iterator<Item = &mut Reference> {
    let (arguments, stdin) = match &mut task.kind {
        TaskKind::Process(Process::Argv(argv)) => (argv.as_mut_slice(), None),
        TaskKind::Container(container) => (container.command.as_mut_slice(), None),
        TaskKind::Wasm(wasm) => (wasm.args.as_mut_slice(), wasm.stdin.as_mut()),
        TaskKind::Process(Process::Script { .. }) | TaskKind::None => (&mut [][..], None),
    };
    let in_arguments = arguments.iter_mut().filter_map(|argument| match argument {
        Argument::Reference(reference) => Some(reference),
        Argument::Literal(_) => None,
    });
    let texts = task.env.iter_mut().map(|entry| &mut entry.value).chain(stdin);
    let in_texts = texts.flat_map(|text| &mut text.0).filter_map(|piece| match piece {
        Piece::Reference(reference) => Some(reference),
        Piece::Literal(_) => None,
    });
    in_texts.chain(in_arguments)
}

fn empty(name: Slug) -> Task {
    Task {
        name,
        description: None,
        kind: TaskKind::None,
        env: Vec::new(),
        depends_on: Vec::new(),
        join: Join::All,
        retry: Retry::default(),
        timeout: None,
        grace: GRACE,
        allow_failure: false,
        success_codes: vec![0],
        on_lost: OnLost::Fail,
    }
}

/// Stands for a name that is none, in a document that will not be a pipeline.
pub(super) fn placeholder() -> Slug {
    Slug::parse("x").expect("a letter is a slug")
}
