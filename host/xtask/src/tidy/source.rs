//! Reads Rust just far enough for the rules: what is code, what is comment, where functions and tests begin and end.
//!
//! Strings lose their content, so that a word in a text is never taken for code. It follows well-formed sources, as
//! rustfmt leaves them; it is no parser and must not become one.

/// A line with the content of its strings left out, and its comments apart.
#[derive(Default, Debug)]
pub(super) struct Line {
    pub(super) code: String,
    pub(super) comment: String,
}

pub(super) struct Function {
    pub(super) name: String,
    /// Counted from 1, as editors do.
    pub(super) line: usize,
    /// Lines of its body that hold code.
    pub(super) length: usize,
    /// Its attributes name the lint, so clippy holds the reason.
    pub(super) lifted: bool,
}

pub(super) struct Source {
    pub(super) lines: Vec<Line>,
    /// For each line, whether it is compiled for tests only.
    pub(super) in_test: Vec<bool>,
    pub(super) functions: Vec<Function>,
    /// Modules in files of their own that are declared for tests only.
    pub(super) test_modules: Vec<String>,
}

impl Source {
    pub(super) fn read(text: &str) -> Source {
        let lines = split(text);
        let mut outline = Outline::default();
        for (index, line) in lines.iter().enumerate() {
            outline.take(index, line);
        }
        let mut in_test = outline.in_test;
        in_test.resize(lines.len(), false);
        let functions = outline.functions.iter().map(|(span, end)| span.measure(*end, &lines)).collect();
        Source { lines, in_test, functions, test_modules: outline.test_modules }
    }
}

/// What a brace opens.
struct Block {
    function: Option<Span>,
    for_tests: bool,
}

/// A function whose end is not read yet.
struct Span {
    name: String,
    line: usize,
    /// The index of the line with its opening brace.
    open: usize,
    lifted: bool,
}

impl Span {
    /// Count the code between the braces, each on a line of its own.
    fn measure(&self, end: usize, lines: &[Line]) -> Function {
        let body = lines.get(self.open + 1..end).unwrap_or_default();
        let length = body.iter().filter(|line| !line.code.trim().is_empty()).count();
        Function { name: self.name.clone(), line: self.line, length, lifted: self.lifted }
    }
}

/// What is known between two lines of one file.
#[derive(Default)]
struct Outline {
    blocks: Vec<Block>,
    /// How deep we are in round and square brackets, where braces and semicolons mean something else.
    brackets: usize,
    /// Attributes and keywords since the last statement or block.
    for_test: bool,
    lifted: bool,
    function: Option<(String, usize)>,
    module: Option<String>,
    previous: String,
    in_test: Vec<bool>,
    /// With the index of the line that closes each.
    functions: Vec<(Span, usize)>,
    test_modules: Vec<String>,
}

impl Outline {
    fn take(&mut self, index: usize, line: &Line) {
        let code = line.code.trim();
        let attribute = code.starts_with("#[");
        if attribute && (code.contains("cfg(test)") || code.contains("test]") || code.contains("::test(")) {
            self.for_test = true;
        }
        if code.contains("too_many_lines") {
            self.lifted = true;
        }
        let mut touched = self.is_test();
        let mut word = String::new();
        for character in line.code.chars().chain([' ']) {
            if character.is_alphanumeric() || character == '_' {
                word.push(character);
                continue;
            }
            if !word.is_empty() {
                self.take_word(std::mem::take(&mut word), index);
            }
            self.take_sign(character, index);
            touched |= self.is_test();
        }
        self.in_test.push(touched);
    }

    fn is_test(&self) -> bool {
        self.for_test || self.blocks.iter().any(|block| block.for_tests)
    }

    fn take_word(&mut self, word: String, index: usize) {
        match self.previous.as_str() {
            "fn" => self.function = Some((word.clone(), index + 1)),
            "mod" => self.module = Some(word.clone()),
            _ => {}
        }
        self.previous = word;
    }

    fn take_sign(&mut self, sign: char, index: usize) {
        match sign {
            '(' | '[' => self.brackets += 1,
            ')' | ']' => self.brackets = self.brackets.saturating_sub(1),
            '{' => self.open(index),
            '}' => self.close(index),
            ';' if self.brackets == 0 => self.end_statement(),
            _ => {}
        }
        if !sign.is_whitespace() {
            self.previous.clear();
        }
    }

    fn open(&mut self, index: usize) {
        let for_tests = std::mem::take(&mut self.for_test);
        let lifted = std::mem::take(&mut self.lifted);
        self.module = None;
        let function = self.function.take().map(|(name, line)| Span { name, line, open: index, lifted });
        self.blocks.push(Block { function, for_tests });
    }

    fn close(&mut self, index: usize) {
        if let Some(Block { function: Some(span), .. }) = self.blocks.pop() {
            self.functions.push((span, index));
        }
    }

    fn end_statement(&mut self) {
        let module = self.module.take();
        if self.for_test {
            self.test_modules.extend(module);
        }
        self.for_test = false;
        self.lifted = false;
        self.function = None;
    }
}

struct Reader {
    characters: Vec<char>,
    at: usize,
    lines: Vec<Line>,
}

/// Cut a text into lines of code and comment.
fn split(text: &str) -> Vec<Line> {
    let mut reader = Reader { characters: text.chars().collect(), at: 0, lines: vec![Line::default()] };
    while let Some(character) = reader.peek(0) {
        match (character, reader.peek(1)) {
            ('/', Some('/')) => reader.line_comment(),
            ('/', Some('*')) => reader.block_comment(),
            ('"', _) => reader.string(),
            ('\'', _) => reader.quote(),
            ('r', Some('"' | '#')) if reader.is_raw_string() => reader.raw_string(),
            _ => reader.keep(),
        }
    }
    // A file ends with a line break, which begins no line.
    if text.ends_with('\n') {
        reader.lines.pop();
    }
    reader.lines
}

impl Reader {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.characters.get(self.at + ahead).copied()
    }

    /// Step over one character; a line break begins a line wherever it stands.
    fn step(&mut self, into: fn(&mut Line) -> Option<&mut String>) {
        let Some(character) = self.peek(0) else { return };
        self.at += 1;
        if character == '\n' {
            self.lines.push(Line::default());
        } else if let Some(text) = self.lines.last_mut().and_then(into) {
            text.push(character);
        }
    }

    fn keep(&mut self) {
        self.step(|line| Some(&mut line.code));
    }

    fn drop(&mut self) {
        self.step(|_| None);
    }

    fn comment(&mut self) {
        self.step(|line| Some(&mut line.comment));
    }

    fn line_comment(&mut self) {
        while self.peek(0).is_some_and(|character| character != '\n') {
            self.comment();
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        while let Some(character) = self.peek(0) {
            let next = self.peek(1);
            match (character, next) {
                ('/', Some('*')) => depth += 1,
                ('*', Some('/')) => depth -= 1,
                _ => {
                    self.comment();
                    continue;
                }
            }
            self.comment();
            self.comment();
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.keep();
        while let Some(character) = self.peek(0) {
            match character {
                '\\' => {
                    self.drop();
                    self.drop();
                }
                '"' => {
                    self.keep();
                    return;
                }
                _ => self.drop(),
            }
        }
    }

    /// A character literal loses its content; a lifetime is code.
    fn quote(&mut self) {
        if self.peek(1) == Some('\\') {
            self.drop();
            self.drop();
            self.drop();
            while self.peek(0).is_some_and(|character| character != '\'') {
                self.drop();
            }
            self.drop();
        } else if self.peek(2) == Some('\'') {
            self.drop();
            self.drop();
            self.drop();
        } else {
            self.keep();
        }
    }

    fn is_raw_string(&self) -> bool {
        let before = if self.at == 0 { None } else { self.characters.get(self.at - 1) };
        // `br"` and `cr"` begin raw strings too; any other letter before it makes it the end of a name.
        let name = before.is_some_and(|c| (c.is_alphanumeric() && !matches!(c, 'b' | 'c')) || *c == '_');
        let hashes = self.hashes(1);
        !name && self.peek(1 + hashes) == Some('"')
    }

    fn hashes(&self, ahead: usize) -> usize {
        (ahead..).take_while(|place| self.peek(*place) == Some('#')).count()
    }

    fn raw_string(&mut self) {
        let hashes = self.hashes(1);
        for _ in 0..hashes + 2 {
            self.keep();
        }
        while let Some(character) = self.peek(0) {
            if character == '"' && self.hashes(1) >= hashes {
                for _ in 0..=hashes {
                    self.keep();
                }
                return;
            }
            self.drop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_comments_are_no_code() {
        let check = |text: &str, code: &str, comment: &str| {
            let lines = split(text);
            assert_eq!((lines[0].code.trim(), lines[0].comment.as_str()), (code, comment), "{text}");
        };
        check(r#"let a = "x { y"; // why {"#, r#"let a = "";"#, "// why {");
        check(r##"let a = r#"say "}" now"#;"##, r##"let a = r#""#;"##, "");
        check(r"let a = '{'; let b: &'a str;", "let a = ; let b: &'a str;", "");
        check(r"let a = '\''; b()", "let a = ; b()", "");
        check(r#"f("\"{", /* a /* b */ c */ d)"#, r#"f("",  d)"#, "/* a /* b */ c */");
    }

    #[test]
    fn functions_and_tests_are_found_with_their_length() {
        let text = "fn a(x: [u8; 2]) {\n    b();\n\n    // c\n    if d { e() }\n}\n#[cfg(test)]\nmod laws;\n\
                    #[cfg(test)]\nmod tests {\n    fn f() {}\n}\nfn g() {}\n";
        let source = Source::read(text);
        let found: Vec<_> = source.functions.iter().map(|f| (f.name.as_str(), f.line, f.length)).collect();
        assert_eq!(found, [("a", 1, 2), ("f", 11, 0), ("g", 13, 0)]);
        assert_eq!(source.test_modules, ["laws"]);
        let tests: Vec<_> = source.in_test.iter().map(|test| u8::from(*test)).collect();
        assert_eq!(tests, [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0]);
    }

    #[test]
    fn a_test_function_ends_with_its_brace() {
        let source = Source::read("#[test]\nfn a() {\n    b();\n}\n\nfn c() {\n    d();\n}\n");
        let tests: Vec<_> = source.in_test.iter().map(|test| u8::from(*test)).collect();
        assert_eq!(tests, [1, 1, 1, 1, 0, 0, 0, 0]);
    }
}
