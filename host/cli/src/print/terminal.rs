//! What a terminal may be given: its size, the width of text on it, and task output made harmless.
//!
//! Invariant: of the bytes a task wrote, only printable text, tabs, line ends and colours (SGR sequences) get
//! through. Everything else could move the cursor, rewrite what was printed, answer the shell or set the clipboard.

/// Columns and rows; 80 × 24 where nobody knows.
pub(crate) fn size() -> (usize, usize) {
    let found =
        rustix::termios::tcgetwinsize(std::io::stderr()).or_else(|_| rustix::termios::tcgetwinsize(std::io::stdout()));
    match found {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        Ok(_) | Err(_) => (80, 24),
    }
}

/// Characters that a terminal shows for the text; colours count nothing.
pub(crate) fn width(text: &str) -> usize {
    let mut count = 0;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(length) = colour_length(rest.as_bytes()) {
            rest = &rest[length..];
        } else {
            count += 1;
            rest = &rest[c.len_utf8()..];
        }
    }
    count
}

/// At most `limit` shown characters, with `…` for what is left out and colours ended.
pub(crate) fn cut(text: &str, limit: usize) -> String {
    if width(text) <= limit {
        return text.to_string();
    }
    let (mut kept, mut count, mut coloured, mut rest) = (String::new(), 0, false, text);
    while let Some(c) = rest.chars().next() {
        let length = colour_length(rest.as_bytes());
        if length.is_none() {
            if count + 1 >= limit {
                break;
            }
            count += 1;
        }
        coloured |= length.is_some();
        let length = length.unwrap_or(c.len_utf8());
        kept.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    kept.push('…');
    if coloured {
        kept.push_str("\u{1b}[0m");
    }
    kept
}

/// The length of the SGR sequence at the start of `bytes`: `ESC [ digits and ; m`, at most 64 bytes.
fn colour_length(bytes: &[u8]) -> Option<usize> {
    let rest = bytes.strip_prefix(b"\x1b[")?;
    let end = rest.iter().take(62).position(|byte| !byte.is_ascii_digit() && *byte != b';' && *byte != b':')?;
    (rest[end] == b'm').then_some(end + 3)
}

/// Task output for a terminal. Other control sequences are left out whole, so that their parameters do not show as
/// text.
pub(crate) fn harmless(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut kept = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    let mut coloured = false;
    while let Some(c) = rest.chars().next() {
        let mut length = c.len_utf8();
        if c == '\u{1b}' {
            if let Some(colour) = colour_length(rest.as_bytes()) {
                kept.push_str(&rest[..colour]);
                coloured = true;
                length = colour;
            } else {
                length = escape_length(rest);
            }
        } else if c == '\n' || c == '\t' || !(c.is_control() || turns_direction(c)) {
            kept.push(c);
        }
        rest = &rest[length..];
    }
    // A colour that the task left on would colour our own words.
    if coloured {
        kept.push_str("\u{1b}[0m");
    }
    kept
}

/// Text of somebody else, harmless and without line ends.
pub(crate) fn one_line(text: &str) -> String {
    harmless(text.as_bytes()).replace(['\n', '\t'], " ")
}

/// Characters that make a terminal show text in another order than it stands.
fn turns_direction(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// How long the escape sequence at the start of `text` is (ECMA-48): CSI to its final byte, strings to their
/// terminator.
fn escape_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    match bytes.get(1) {
        Some(b'[') => {
            let end =
                bytes.iter().skip(2).position(|byte| !(0x20..=0x3f).contains(byte)).map_or(bytes.len(), |at| at + 3);
            // A byte that cannot end the sequence is text again.
            if bytes.get(end - 1).is_some_and(|byte| (0x40..=0x7e).contains(byte)) { end } else { end - 1 }
        }
        Some(b']' | b'P' | b'X' | b'^' | b'_') => string_end(bytes),
        Some(byte) if (0x20..=0x7e).contains(byte) => 2,
        Some(_) | None => 1,
    }
}

/// Behind BEL or `ESC \`; a string that does not end in this piece takes its line, not the rest of the log.
fn string_end(bytes: &[u8]) -> usize {
    for (at, byte) in bytes.iter().enumerate().skip(2) {
        match byte {
            0x07 => return at + 1,
            0x1b if bytes.get(at + 1) == Some(&b'\\') => return at + 2,
            b'\n' => return at,
            _ => {}
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_colours_get_through_to_a_terminal() {
        let cases: [(&[u8], &str); 9] = [
            (b"plain\ttext\n", "plain\ttext\n"),
            (b"\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m\x1b[0m"),
            (b"a\x1b[2Jb\x1b[10;10Hc", "abc"),
            (b"\x1b]52;c;ZXZpbA==\x07clip", "clip"),
            (b"\x1b]0;title\x1b\\x", "x"),
            (b"over\rwrite\x08\x07", "overwrite"),
            (b"\x1bcreset", "reset"),
            (b"\x1b[?25lhide\x9b", "hide\u{fffd}"),
            ("a\u{202e}b".as_bytes(), "ab"),
        ];
        for (given, kept) in cases {
            assert_eq!(harmless(given), kept, "{given:?}");
        }
    }

    #[test]
    fn a_cut_counts_what_is_seen() {
        assert_eq!(width("\x1b[1;32mok\x1b[0m"), 2);
        assert_eq!(cut("hello", 5), "hello");
        assert_eq!(cut("hello!", 5), "hell…");
        assert_eq!(cut("\x1b[32mhello!\x1b[0m", 5), "\x1b[32mhell…\x1b[0m");
    }
}
