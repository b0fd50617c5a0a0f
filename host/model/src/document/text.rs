//! Reads JSON text (RFC 8259) into a tree that knows where each value stood, so that a problem can be shown in its
//! place.
//!
//! Invariants: never deeper than `DEPTH_MAX` nor larger than `VALUES_MAX`, whatever the input; repeated keys are kept
//! side by side, for the reader of an object to complain about. Must not know what a pipeline is.

use serde_json::{Number, Value};
use std::borrow::Cow;

/// How deep objects and arrays may nest: our own format needs 6, the rest is for values of params.
pub(super) const DEPTH_MAX: usize = 64;
/// Values in one document. Each costs some 40 bytes of memory while it is read, so this bounds what hostile input
/// takes.
pub(super) const VALUES_MAX: usize = 5_000_000;
/// The place of what did not come from text.
pub(super) const NOWHERE: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Node<'a> {
    /// Byte offset of its first character, or `NOWHERE`.
    pub(super) at: u32,
    pub(super) shape: Shape<'a>,
}

#[derive(Debug)]
pub(super) enum Shape<'a> {
    Null,
    Bool(bool),
    Number(Number),
    String(Cow<'a, str>),
    Array(Vec<Node<'a>>),
    Object(Vec<Member<'a>>),
}

#[derive(Debug)]
pub(super) struct Member<'a> {
    pub(super) key: Cow<'a, str>,
    /// Byte offset of the key.
    pub(super) at: u32,
    pub(super) node: Node<'a>,
}

/// Why there is no tree, and at which byte.
#[derive(Debug, PartialEq)]
pub(super) struct Broken {
    pub(super) at: u32,
    pub(super) message: String,
}

impl Node<'_> {
    /// What it is, with its article, for messages.
    pub(super) fn describe(&self) -> &'static str {
        match self.shape {
            Shape::Null => "null",
            Shape::Bool(_) => "a boolean",
            Shape::Number(_) => "a number",
            Shape::String(_) => "a string",
            Shape::Array(_) => "an array",
            Shape::Object(_) => "an object",
        }
    }

    pub(super) fn to_value(&self) -> Value {
        match &self.shape {
            Shape::Null => Value::Null,
            Shape::Bool(bool) => Value::Bool(*bool),
            Shape::Number(number) => Value::Number(number.clone()),
            Shape::String(text) => Value::String(text.to_string()),
            Shape::Array(items) => Value::Array(items.iter().map(Node::to_value).collect()),
            Shape::Object(members) => {
                Value::Object(members.iter().map(|member| (member.key.to_string(), member.node.to_value())).collect())
            }
        }
    }
}

/// The tree of a value that is in memory already.
pub(super) fn from_value(value: &Value) -> Result<Node<'_>, Broken> {
    let mut left = VALUES_MAX;
    tree(value, DEPTH_MAX, &mut left)
}

fn tree<'a>(value: &'a Value, depth: usize, left: &mut usize) -> Result<Node<'a>, Broken> {
    let too = |message: String| Broken { at: NOWHERE, message };
    *left = left.checked_sub(1).ok_or_else(|| too(too_many()))?;
    let inner = || depth.checked_sub(1).ok_or_else(|| too(too_deep()));
    let shape = match value {
        Value::Null => Shape::Null,
        Value::Bool(bool) => Shape::Bool(*bool),
        Value::Number(number) => Shape::Number(number.clone()),
        Value::String(text) => Shape::String(Cow::Borrowed(text)),
        Value::Array(items) => {
            let depth = inner()?;
            Shape::Array(items.iter().map(|item| tree(item, depth, left)).collect::<Result<_, _>>()?)
        }
        Value::Object(map) => {
            let depth = inner()?;
            let member = |(key, value): (&'a String, &'a Value)| {
                Ok(Member { key: Cow::Borrowed(key.as_str()), at: NOWHERE, node: tree(value, depth, left)? })
            };
            Shape::Object(map.iter().map(member).collect::<Result<_, Broken>>()?)
        }
    };
    Ok(Node { at: NOWHERE, shape })
}

fn too_deep() -> String {
    format!("nested deeper than {DEPTH_MAX} levels")
}

fn too_many() -> String {
    format!("more than {VALUES_MAX} values in one document")
}

/// The tree of a text, which is at most 4 GiB long.
pub(super) fn read(text: &str) -> Result<Node<'_>, Broken> {
    let mut reader = Reader { text, at: 0, left: VALUES_MAX };
    reader.skip_space();
    let node = reader.value(DEPTH_MAX)?;
    reader.skip_space();
    match reader.peek() {
        None => Ok(node),
        Some(_) => Err(reader.broken("something follows the end of the document")),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    left: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn place(&self) -> u32 {
        u32::try_from(self.at).unwrap_or(NOWHERE)
    }

    fn broken(&self, message: impl Into<String>) -> Broken {
        Broken { at: self.place(), message: format!("not JSON: {}", message.into()) }
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn unexpected(&self, wanted: &str) -> Broken {
        match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            Some(found) => self.broken(format!("expected {wanted}, found {found:?}")),
            None => self.broken(format!("expected {wanted}, but the text ends")),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node<'a>, Broken> {
        let at = self.place();
        self.left = self.left.checked_sub(1).ok_or_else(|| Broken { at, message: too_many() })?;
        let shape = match self.peek() {
            Some(open @ (b'{' | b'[')) => {
                let depth = depth.checked_sub(1).ok_or_else(|| Broken { at, message: too_deep() })?;
                self.at += 1;
                if open == b'{' { Shape::Object(self.members(depth)?) } else { Shape::Array(self.items(depth)?) }
            }
            Some(b'"') => Shape::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => Shape::Number(self.number()?),
            Some(b'a'..=b'z' | b'A'..=b'Z') => self.word()?,
            Some(_) | None => return Err(self.unexpected("a value")),
        };
        Ok(Node { at, shape })
    }

    fn items(&mut self, depth: usize) -> Result<Vec<Node<'a>>, Broken> {
        let mut items = Vec::new();
        self.skip_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(items);
        }
        loop {
            self.skip_space();
            items.push(self.value(depth)?);
            if self.closes(b']', "`,` or `]`")? {
                return Ok(items);
            }
        }
    }

    fn members(&mut self, depth: usize) -> Result<Vec<Member<'a>>, Broken> {
        let mut members = Vec::new();
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(members);
        }
        loop {
            self.skip_space();
            let at = self.place();
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("a key in double quotes"));
            }
            let key = self.string()?;
            self.skip_space();
            if self.peek() != Some(b':') {
                return Err(self.unexpected("`:` after the key"));
            }
            self.at += 1;
            self.skip_space();
            members.push(Member { key, at, node: self.value(depth)? });
            if self.closes(b'}', "`,` or `}`")? {
                return Ok(members);
            }
        }
    }

    /// Takes the comma or the closing bracket after an element; says which it was.
    fn closes(&mut self, close: u8, wanted: &str) -> Result<bool, Broken> {
        self.skip_space();
        match self.peek() {
            Some(byte) if byte == close || byte == b',' => {
                self.at += 1;
                Ok(byte == close)
            }
            Some(_) | None => Err(self.unexpected(wanted)),
        }
    }

    fn word(&mut self) -> Result<Shape<'a>, Broken> {
        let letters = self.text.as_bytes()[self.at..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        let shape = match &self.text[self.at..self.at + letters] {
            "null" => Shape::Null,
            "true" => Shape::Bool(true),
            "false" => Shape::Bool(false),
            other => {
                let shown: String = other.chars().take(20).collect();
                return Err(self.broken(format!("`{shown}` is no value; a string stands in double quotes")));
            }
        };
        self.at += letters;
        Ok(shape)
    }

    /// The grammar of numbers is serde_json's; here it is only found where the number ends.
    fn number(&mut self) -> Result<Number, Broken> {
        let part = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
        let length = self.text.as_bytes()[self.at..].iter().take_while(|byte| part(byte)).count();
        let text = &self.text[self.at..self.at + length];
        let number = serde_json::from_str(text).map_err(|_| {
            let shown: String = text.chars().take(40).collect();
            self.broken(format!("`{shown}` is not a number that can be kept"))
        })?;
        self.at += length;
        Ok(number)
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Broken> {
        let start = self.at;
        self.at += 1;
        let mut escaped = false;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.at += 2;
                }
                Some(0..=0x1f) => {
                    return Err(self.broken("a control character in a string; write it as `\\n` or `\\u0000`"));
                }
                Some(_) => self.at += 1,
                None => {
                    self.at = start;
                    return Err(self.broken("this string has no closing quote"));
                }
            }
        }
        self.at += 1;
        if !escaped {
            return Ok(Cow::Borrowed(&self.text[start + 1..self.at - 1]));
        }
        // Escapes are rare; serde_json knows them all, surrogate pairs included.
        serde_json::from_str(&self.text[start..self.at]).map(Cow::Owned).map_err(|_| {
            self.at = start;
            self.broken("a bad escape in this string")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Result<Value, String> {
        read(text).map(|node| node.to_value()).map_err(|broken| format!("{}: {}", broken.at, broken.message))
    }

    #[test]
    fn a_broken_text_says_where_and_what_was_expected() {
        let cases = [
            ("", "0: not JSON: expected a value, but the text ends"),
            ("{\"a\" 1}", "5: not JSON: expected `:` after the key, found '1'"),
            ("[1 2]", "3: not JSON: expected `,` or `]`, found '2'"),
            ("[1,]", "3: not JSON: expected a value, found ']'"),
            ("{'a':1}", "1: not JSON: expected a key in double quotes, found '\\''"),
            ("nope", "0: not JSON: `nope` is no value; a string stands in double quotes"),
            ("01", "0: not JSON: `01` is not a number that can be kept"),
            ("\"ab", "0: not JSON: this string has no closing quote"),
            ("\"\\x\"", "0: not JSON: a bad escape in this string"),
            ("\"\\ud800\"", "0: not JSON: a bad escape in this string"),
            ("\"a\nb\"", "2: not JSON: a control character in a string; write it as `\\n` or `\\u0000`"),
            ("1 2", "2: not JSON: something follows the end of the document"),
            ("\"\\", "0: not JSON: this string has no closing quote"),
        ];
        for (text, message) in cases {
            assert_eq!(value(text), Err(message.to_string()), "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_before_the_stack_is_used_up() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let nested = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
            assert!(value(&nested(DEPTH_MAX)).is_ok());
            assert!(value(&nested(DEPTH_MAX + 1)).is_err_and(|why| why.ends_with("nested deeper than 64 levels")));
            assert!(value(&nested(1_000_000)).is_err());
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_as_serde_json_reads_it(text in ".{0,40}|[\\[\\]{}\",:0-9a-e\\\\.\\- ]{0,30}") {
            let ours = value(&text).ok();
            proptest::prop_assert_eq!(ours, serde_json::from_str::<Value>(&text).ok());
        }
    }
}
