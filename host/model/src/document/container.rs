//! Reads what a `container` task says.
//!
//! Invariants: no value from outside chooses the image, the program, a mount or a network; there is no key for
//! privileges, devices or the namespaces of the host. Must not know: engines.

use super::fields::{Decoder, Keys};
use super::findings::{Path, shorten};
use super::task::takes_code;
use super::text::{Node, Shape};
use crate::spec::{Argument, Cache, Container, Network, Pull};
use crate::{Bytes, ImageName, Slug};

const CONTAINER: Keys = Keys {
    owner: "a container",
    known: &[
        "image",
        "entrypoint",
        "command",
        "user",
        "workdir",
        "network",
        "memory",
        "cpus",
        "pids",
        "read_only",
        "pull",
        "caches",
    ],
    later: &[("pin", "`pin` is"), ("stdin", "`stdin` of a container is"), ("platform", "`platform` is")],
};
/// The least that Docker starts a container with, and more than any machine has.
const MEMORY: std::ops::RangeInclusive<Bytes> = Bytes(6 << 20)..=Bytes(64 << 40);
const PIDS: std::ops::RangeInclusive<u32> = 1..=4_194_304;
const CPUS_MAX: f64 = 1024.0;
const CACHES_MAX: usize = 32;
/// What the host itself mounts.
const OURS: [&str; 2] = ["/workspace", "/outputs"];

impl<'a> Decoder<'a> {
    pub(super) fn container(&mut self, node: &Node<'a>, path: &Path<'_>) -> Option<Container> {
        let mut container = empty();
        let mut image = None;
        let mut has_image = false;
        let members = self.members(node, path);
        for member in &members {
            let here = &Path::Key(path, &member.key);
            let node = &member.node;
            match &*member.key {
                "image" => (has_image, image) = (true, self.image(node, here)),
                "entrypoint" => container.entrypoint = self.entrypoint(node, here),
                "command" => {}
                "user" => container.user = self.user(node, here),
                "workdir" => container.workdir = self.inner_path(node, here),
                "network" => container.network = self.network(node, here).unwrap_or_default(),
                "memory" => container.memory_max = self.size(node, here, &MEMORY).map(|size| size.0),
                "cpus" => container.cpus_milli = self.cpus(node, here),
                "pids" => container.pids_max = self.whole(node, here, &PIDS),
                "read_only" => container.read_only = self.boolean(node, here).unwrap_or_default(),
                "pull" => {
                    let words = [("missing", Pull::Missing), ("always", Pull::Always), ("never", Pull::Never)];
                    container.pull = self.choice(node, here, &words).unwrap_or_default();
                }
                "caches" => container.caches = self.caches(node, here),
                _ => self.unknown(member, path, &CONTAINER),
            }
        }
        // After the entrypoint, since that decides what may stand first.
        if let Some(command) = members.iter().find(|member| member.key == "command") {
            let here = &Path::Key(path, "command");
            container.command = self.command(&command.node, here, container.entrypoint.as_deref());
        }
        if let Shape::Object(_) = node.shape
            && !has_image
        {
            self.findings.add(node.at, path, "a container needs an `image`, such as \"busybox:1\"");
        }
        Some(Container { image: image?, ..container })
    }

    fn image(&mut self, node: &Node<'a>, path: &Path<'_>) -> Option<ImageName> {
        let text = self.full_text(node, path)?;
        ImageName::parse(text).map_err(|why| self.findings.add(node.at, path, why.to_string())).ok()
    }

    /// Written out, every element: it is the program.
    fn entrypoint(&mut self, node: &Node<'a>, path: &Path<'_>) -> Option<Vec<String>> {
        let arguments = self.arguments(node, path);
        let Shape::Array(items) = &node.shape else { return None };
        if items.is_empty() {
            self.findings.add(node.at, path, "must name a command; leave it out for the image's own");
            return None;
        }
        let mut entrypoint = Vec::new();
        for (index, (argument, item)) in arguments.into_iter().zip(items).enumerate() {
            match argument {
                Argument::Literal(literal) if index == 0 && literal.is_empty() => {
                    self.findings.add(item.at, &Path::Index(path, index), "the command must not be empty");
                }
                Argument::Literal(literal) => entrypoint.push(literal),
                Argument::Reference(_) => {
                    let message = "a reference must not choose what runs; give the value in `command` or `env`";
                    self.findings.add(item.at, &Path::Index(path, index), message);
                }
            }
        }
        Some(entrypoint)
    }

    /// Without an `entrypoint` the first element may be the program, and the image may put anything before it.
    fn command(&mut self, node: &Node<'a>, path: &Path<'_>, entrypoint: Option<&[String]>) -> Vec<Argument> {
        let arguments = self.arguments(node, path);
        let (Shape::Array(items), Some(Argument::Reference(_))) = (&node.shape, arguments.first()) else {
            return arguments;
        };
        let here = &Path::Index(path, 0);
        match entrypoint.map(<[String]>::last) {
            None => {
                let hint = "write an `entrypoint`, and the value may come first";
                let message = "a reference must not choose the command; write it out";
                self.findings.add_with_hint(items[0].at, here, message, Some(hint.into()));
            }
            Some(Some(flag)) if takes_code(flag) => {
                let message =
                    format!("a value must not stand right after `{}`, where it would be run as code", shorten(flag));
                self.findings.add_with_hint(items[0].at, here, message, Some("give it in `env`".into()));
            }
            Some(_) => {}
        }
        arguments
    }

    fn user(&mut self, node: &Node<'a>, path: &Path<'_>) -> Option<String> {
        let text = self.full_text(node, path)?;
        let part = |part: &str| {
            let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
            !part.is_empty() && !part.starts_with('-') && part.chars().all(word)
        };
        let parts: Vec<_> = text.split(':').collect();
        if parts.len() > 2 || !parts.iter().all(|one| part(one)) {
            self.findings.add(node.at, path, "must be a user or `user:group`, by name or number");
            return None;
        }
        Some(text.into())
    }

    /// An absolute path inside, without `.` and `..`.
    fn inner_path(&mut self, node: &Node<'a>, path: &Path<'_>) -> Option<String> {
        let text = self.full_text(node, path)?;
        if !text.starts_with('/') || text.split('/').any(|part| matches!(part, "." | "..")) {
            self.findings.add(node.at, path, "must be an absolute path inside the container, without `.` and `..`");
            return None;
        }
        Some(text.into())
    }

    fn network(&mut self, node: &Node<'a>, path: &Path<'_>) -> Option<Network> {
        let text = self.full_text(node, path)?;
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) || !text.chars().all(word) || text.len() > 128 {
            let shown = shorten(text);
            let message = format!("`{shown}` names no network; it is `none`, `bridge` or the name of one");
            let hint = text.contains(':').then(|| "the network of another container cannot be joined".to_owned());
            self.findings.add_with_hint(node.at, path, message, hint);
            return None;
        }
        Some(match text {
            "none" => Network::None,
            "bridge" => Network::Bridge,
            name => Network::Named(name.into()),
        })
    }

    fn cpus(&mut self, node: &Node<'a>, path: &Path<'_>) -> Option<u32> {
        let wanted = "a number of processors from 0.01 to 1024, such as 0.5";
        let Shape::Number(number) = &node.shape else {
            self.wrong_shape(node, path, wanted);
            return None;
        };
        let cpus = number.as_f64().filter(|cpus| (0.01..=CPUS_MAX).contains(cpus));
        if cpus.is_none() {
            self.findings.add(node.at, path, format!("must be {wanted}, not {number}"));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 10 and 1,024,000")]
        cpus.map(|cpus| (cpus * 1000.0).round() as u32)
    }

    fn caches(&mut self, node: &Node<'a>, path: &Path<'_>) -> Vec<Cache> {
        let members = self.members(node, path);
        if members.len() > CACHES_MAX {
            self.findings.add(node.at, path, format!("has {} caches; the limit is {CACHES_MAX}", members.len()));
        }
        let mut caches: Vec<Cache> = Vec::new();
        for member in members {
            let here = &Path::Key(path, &member.key);
            let name = Slug::parse(&member.key).map_err(|why| self.findings.add(member.at, here, why.to_string()));
            let Some(inside) = self.inner_path(&member.node, here) else { continue };
            let inside =
                format!("/{}", inside.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/"));
            let is_taken = |taken: &str| inside == taken || inside.starts_with(&format!("{taken}/"));
            if inside == "/" || OURS.iter().any(|ours| is_taken(ours)) {
                let message = format!("a cache cannot lie at `{}`, which has a meaning already", shorten(&inside));
                self.findings.add(member.node.at, here, message);
            } else if let Some(other) = caches.iter().find(|other| other.path == inside) {
                let message = format!("the cache `{}` lies at the same path", other.name);
                self.findings.add(member.node.at, here, message);
            } else if let Ok(name) = name {
                caches.push(Cache { name, path: inside });
            }
        }
        caches.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
        caches
    }
}

fn empty() -> Container {
    Container {
        image: ImageName::parse("x").expect("a letter is the name of an image"),
        entrypoint: None,
        command: Vec::new(),
        user: None,
        workdir: None,
        network: Network::default(),
        memory_max: None,
        cpus_milli: None,
        pids_max: None,
        read_only: false,
        pull: Pull::default(),
        caches: Vec::new(),
    }
}
