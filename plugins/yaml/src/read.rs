//! Reads a file of YAML documents into trees, and says everything that is wrong with it.
//!
//! Each document is read to its end, or to the first place where nobody can tell how it goes on; the next one is then
//! read all the same. Must not know what a pipeline is.

use crate::json::{Document, write};
use crate::scalar;
use crate::tree::{DEPTH_MAX, JSON_BYTES_MAX, Key, Mark, NodeId, Shape, Tree};
use crate::wrong::{Wrong, Wrongs, shorten};
use granit_parser::{Event, Parser, ScalarStyle, Span, StrInput, StructureStyle, Tag, YamlVersion};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The documents of a file, or all that is wrong with it.
pub fn documents(bytes: &[u8]) -> Result<Vec<Document>, Vec<Wrong>> {
    let text = text(bytes).map_err(|wrong| vec![wrong])?;
    let mut reader = Reader::new(text);
    let documents = reader.stream();
    if documents.is_empty() && reader.wrongs.is_empty() {
        reader.wrongs.push(None, "holds no document".into(), None);
    }
    if reader.wrongs.is_empty() { Ok(documents) } else { Err(reader.wrongs.into_list()) }
}

/// The file as text, if it is one: UTF-8, with no character that YAML does not have.
fn text(bytes: &[u8]) -> Result<&str, Wrong> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let valid = std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
            let hint = "save it as UTF-8".to_string();
            return Err(Wrong { mark: Some(end_of(valid)), message: "this is not UTF-8".into(), hint: Some(hint) });
        }
    };
    let lone_return = |at: usize, c: char| c == '\r' && bytes.get(at + 1) != Some(&b'\n');
    let foreign = text.char_indices().find(|(at, c)| !is_printable(*c) || lone_return(*at, *c));
    match foreign {
        None => Ok(text),
        Some((at, c)) => {
            let message = format!("the character U+{:04X} has no place in a text file", u32::from(c));
            let hint = (c != '\r').then(|| format!("in double quotes it is written `\\x{:02x}`", u32::from(c)));
            let hint = hint.filter(|_| u32::from(c) < 0x100 && c != '\0');
            Err(Wrong { mark: Some(end_of(&text[..at])), message, hint })
        }
    }
}

/// `c-printable` of YAML 1.2.2.
fn is_printable(c: char) -> bool {
    let is_ascii = matches!(c, '\t' | '\n' | '\r' | ' '..='~');
    is_ascii || matches!(c, '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// The place behind a text.
fn end_of(text: &str) -> Mark {
    let line = text.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let column = text[text.rfind('\n').map_or(0, |at| at + 1)..].chars().count() + 1;
    Mark { line: u32::try_from(line).unwrap_or(u32::MAX), column: u32::try_from(column).unwrap_or(u32::MAX) }
}

/// This document cannot be read on; why is among the wrongs.
struct Stop;

type Spanned<'a> = (Event<'a>, Span);

struct Reader<'a> {
    text: &'a str,
    parser: Parser<'a, StrInput<'a>>,
    tree: Tree,
    /// None: it is not read to its end yet.
    anchors: BTreeMap<usize, Option<NodeId>>,
    /// That the document is too large or too deep is said once.
    is_over: bool,
    wrongs: Wrongs,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        let options = granit_parser::options! {
            strict_indentation: true,
            emit_unresolved_aliases: true,
            flow_nesting_limit: DEPTH_MAX,
            block_nesting_limit: DEPTH_MAX,
        };
        Self {
            text,
            parser: Parser::new_from_str_with_options(text, options),
            tree: Tree::default(),
            anchors: BTreeMap::new(),
            is_over: false,
            wrongs: Wrongs::default(),
        }
    }

    fn stream(&mut self) -> Vec<Document> {
        let mut documents = Vec::new();
        loop {
            match self.document() {
                Ok(Some(document)) => documents.push(document),
                Ok(None) => return documents,
                Err(Stop) => match self.parser.proceed_next_document() {
                    Ok(true) => {}
                    Ok(false) => return documents,
                    Err(error) => {
                        self.wrongs.broken(&error);
                        return documents;
                    }
                },
            }
        }
    }

    fn next(&mut self) -> Result<Spanned<'a>, Stop> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => {
                self.wrongs.broken(&error);
                Err(Stop)
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    /// None: the stream is over. What a document with a mistake says is not kept.
    fn document(&mut self) -> Result<Option<Document>, Stop> {
        let start = loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(None),
                (Event::DocumentStart(_, version), span) => {
                    self.version(version, &span);
                    break span;
                }
                _ => {}
            }
        };
        (self.tree, self.is_over) = (Tree::default(), false);
        self.anchors.clear();
        let first = self.next()?;
        let root = self.root(&start, first)?;
        while !matches!(self.next()?.0, Event::DocumentEnd) {}
        Ok(Some(match root {
            Some(root) if self.wrongs.is_empty() => write(&self.tree, root),
            _ => Document::default(),
        }))
    }

    fn version(&mut self, version: Option<YamlVersion>, span: &Span) {
        if let Some(version) = version.filter(|version| *version != YamlVersion::new(1, 2)) {
            let message = format!("is written in YAML {}.{}; YAML 1.2 is read here", version.major, version.minor);
            self.wrongs.add_with_hint(span.start.into(), message, "leave the line `%YAML` out");
        }
    }

    /// None: it is no mapping, which was noted.
    fn root(&mut self, start: &Span, first: Spanned<'a>) -> Result<Option<NodeId>, Stop> {
        let is_empty = first.1.is_empty() && matches!(first.0, Event::Scalar(..));
        let mark = mark(if is_empty { start } else { &first.1 });
        let id = self.node(first)?;
        let found = match &self.tree.get(id).shape {
            Shape::Mapping(_) => return Ok(Some(id)),
            Shape::Scalar(_) if is_empty => "this document is empty",
            Shape::Scalar(_) => "a document is a mapping of keys to values, and this is a single value",
            Shape::List(_) => "a document is a mapping of keys to values, and this is a list",
            Shape::Alias(_) => "a document cannot be an alias",
        };
        let is_broken = !self.wrongs.is_empty() && !is_empty;
        if !is_broken {
            self.wrongs.add(mark, found);
        }
        Ok(None)
    }

    fn node(&mut self, (event, span): Spanned<'a>) -> Result<NodeId, Stop> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let shape = Shape::Scalar(self.scalar(&text, style, tag.as_deref(), &span));
                let id = self.tree.add(mark(&span), !span.is_empty(), shape);
                self.name(anchor, id);
                Ok(id)
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.collection_tag(tag, "seq", &span);
                self.open(anchor);
                let shape = self.list()?;
                Ok(self.close(shape, style, anchor, &span))
            }
            Event::MappingStart(style, anchor, tag) => {
                self.collection_tag(tag, "map", &span);
                self.open(anchor);
                let shape = self.mapping()?;
                Ok(self.close(shape, style, anchor, &span))
            }
            Event::Alias(anchor) => Ok(self.alias(anchor, &span)),
            Event::UnresolvedAlias(name) => {
                let message = format!("there is no anchor `&{}` above this alias", shorten(&name));
                self.wrongs.add_with_hint(mark(&span), message, "put a text that begins with `*` into quotes");
                Ok(self.nothing(&span))
            }
            // The parser puts nothing else where a node belongs.
            _ => Err(Stop),
        }
    }

    /// Stands for what was refused.
    fn nothing(&mut self, span: &Span) -> NodeId {
        self.tree.add(mark(span), true, Shape::Scalar("null".into()))
    }

    fn list(&mut self) -> Result<Shape, Stop> {
        let mut items = Vec::new();
        loop {
            let next = self.next()?;
            if matches!(next.0, Event::SequenceEnd) {
                return Ok(Shape::List(items));
            }
            items.push(self.node(next)?);
        }
    }

    fn mapping(&mut self) -> Result<Shape, Stop> {
        let mut members: Vec<(Key, NodeId)> = Vec::new();
        let mut seen: BTreeMap<String, Mark> = BTreeMap::new();
        loop {
            let next = self.next()?;
            if matches!(next.0, Event::MappingEnd) {
                return Ok(Shape::Mapping(members));
            }
            let key = self.key(next)?;
            let value = self.next()?;
            let value = self.node(value)?;
            let Some(key) = key else { continue };
            if let Some(first) = seen.get(&key.name) {
                let message = format!("the key `{}` stands in line {} already", shorten(&key.name), first.line);
                self.wrongs.add(key.mark, message);
                continue;
            }
            seen.insert(key.name.clone(), key.mark);
            members.push((key, value));
        }
    }

    /// None: it is no key for us, which was noted.
    fn key(&mut self, (event, span): Spanned<'a>) -> Result<Option<Key>, Stop> {
        let mark = mark(&span);
        let (text, style, tag) = match event {
            Event::Scalar(text, style, 0, tag) => (text, style, tag),
            Event::Scalar(..) => {
                self.wrongs.add(mark, "a key cannot be an anchor");
                return Ok(None);
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.wrongs.add_with_hint(mark, "a key cannot be an alias", "write the key out");
                return Ok(None);
            }
            other => {
                self.wrongs.add(mark, "a key is a text, not a list or a mapping");
                self.node((other, span))?;
                return Ok(None);
            }
        };
        if text == "<<" && style == ScalarStyle::Plain {
            let hint = "write the fields out, or use an alias for a whole value";
            self.wrongs.add_with_hint(mark, "merge keys (`<<`) are not part of YAML 1.2", hint);
            return Ok(None);
        }
        let before = self.wrongs.count();
        let json = self.scalar(&text, style, tag.as_deref(), &span);
        let is_refused = self.wrongs.count() > before;
        if !is_refused && !json.starts_with('"') {
            let written = span.slice(self.text).unwrap_or_default();
            let (message, hint) = match written {
                "" => ("a key is missing before this `:`".into(), "write `key: value`".into()),
                written => {
                    (format!("the key `{written}` is not a text"), format!("put it into quotes: `\"{written}\"`"))
                }
            };
            self.wrongs.add_with_hint(mark, message, hint);
        }
        let is_text = json.starts_with('"');
        Ok(is_text.then(|| Key { name: text.into_owned(), mark }))
    }

    /// JSON text of a scalar; of one that was refused, anything.
    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: &Span) -> String {
        let is_plain = style == ScalarStyle::Plain;
        let read = match tag.map(|tag| self.known(tag, span)) {
            None if is_plain => scalar::plain(text),
            // `!` alone makes a text of anything.
            None | Some(None | Some("")) => return scalar::quoted(text),
            Some(Some(tag)) => scalar::tagged(text, tag),
        };
        read.unwrap_or_else(|refused| {
            self.wrongs.add_with_hint(mark(span), refused.message, refused.hint);
            "null".into()
        })
    }

    fn collection_tag(&mut self, tag: Option<Cow<'a, Tag>>, expected: &str, span: &Span) {
        let Some(tag) = tag else { return };
        match self.known(&tag, span) {
            Some(known) if !known.is_empty() && known != expected => {
                let message = format!("`!!{known}` stands before what is `!!{expected}`");
                self.wrongs.add_with_hint(tag_mark(span), message, "leave the tag out");
            }
            Some(_) | None => {}
        }
    }

    /// The name of a tag of the core schema, empty for `!`. None: unknown, which was noted.
    fn known<'t>(&mut self, tag: &'t Tag, span: &Span) -> Option<&'t str> {
        if let Some(core) = tag.core_suffix().filter(|_| tag.is_yaml_core_schema()) {
            return Some(core);
        }
        let written = tag.original();
        if written == "!" {
            return Some("");
        }
        let message = format!("the tag `{}` is not known", shorten(&written));
        self.wrongs.add_with_hint(
            tag_mark(span),
            message,
            "leave the tag out, or put a text that begins with `!` into quotes",
        );
        None
    }

    fn open(&mut self, anchor: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, None);
        }
    }

    fn name(&mut self, anchor: usize, id: NodeId) {
        if anchor != 0 {
            self.anchors.insert(anchor, Some(id));
        }
    }

    fn close(&mut self, shape: Shape, style: StructureStyle, anchor: usize, span: &Span) -> NodeId {
        let id = self.tree.add(mark(span), style == StructureStyle::Flow, shape);
        self.name(anchor, id);
        self.check_size(id);
        id
    }

    fn alias(&mut self, anchor: usize, span: &Span) -> NodeId {
        match self.anchors.get(&anchor).copied().flatten() {
            Some(target) => self.tree.add(mark(span), true, Shape::Alias(target)),
            None => {
                self.wrongs.add(mark(span), "this alias stands inside of what it stands for, so it would have no end");
                self.nothing(span)
            }
        }
    }

    /// Notes the first value with which the document is too large or too deep.
    fn check_size(&mut self, id: NodeId) {
        let node = self.tree.get(id);
        let (is_large, is_deep) = (node.weight > JSON_BYTES_MAX, node.depth > DEPTH_MAX);
        if self.is_over || !(is_large || is_deep) {
            return;
        }
        self.is_over = true;
        let mark = node.mark;
        if is_large {
            let message = format!("with its aliases written out, this has more than {} MiB", JSON_BYTES_MAX >> 20);
            self.wrongs.add_with_hint(mark, message, "use fewer aliases of aliases");
        } else {
            self.wrongs
                .add(mark, format!("with its aliases written out, this is nested deeper than {DEPTH_MAX} levels"));
        }
    }
}

fn mark(span: &Span) -> Mark {
    span.start.into()
}

fn tag_mark(span: &Span) -> Mark {
    span.tag_start().unwrap_or(span.start).into()
}
