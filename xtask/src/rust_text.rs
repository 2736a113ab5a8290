//! A Rust file taken apart into its code, its comments and its string literals, so that a word can
//! be looked for where it means something.
//!
//! It is a scanner, not a parser: it knows what begins and ends a comment, a literal and a block,
//! and nothing else of the language. Lines keep their numbers in every part.

use std::ops::RangeInclusive;

/// The parts of a Rust file. Each has as many lines as the file, with spaces for what is left out.
#[derive(Debug)]
pub(crate) struct RustText {
    code: String,
    comments: String,
    /// The string literals, each with the line it begins on, counted from 1.
    pub(crate) literals: Vec<(usize, String)>,
    /// The lines that are only there for tests.
    tests: Vec<RangeInclusive<usize>>,
    /// The lines of tests whose clock stands still until they move it.
    paused: Vec<RangeInclusive<usize>>,
}

impl RustText {
    /// Takes a file apart. Its path tells whether the whole of it is a test.
    pub(crate) fn of(path: &str, text: &str) -> Self {
        let mut scanner = Scanner::new(text);
        scanner.scan();
        let Scanner { code, comments, literals, .. } = scanner;
        let is_test = ["/tests/", "/benches/"].iter().any(|folder| path.contains(folder))
            || path.ends_with("/tests.rs")
            || code.contains("#![cfg(test)]");
        let attributes = ["#[cfg(test)]", "#[test]", "#[tokio::test"];
        let tests = if is_test { vec![1..=usize::MAX] } else { blocks_behind(&attributes, &code) };
        let paused = blocks_behind(&["#[tokio::test(start_paused = true)]"], &code);
        Self { code, comments, literals, tests, paused }
    }

    /// The lines of the code with their numbers, counted from 1.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.code.lines())
    }

    /// The lines of the comments with their numbers, counted from 1.
    pub(crate) fn comments(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.comments.lines())
    }

    /// The comment on one line; empty when there is none.
    pub(crate) fn comment_on(&self, line: usize) -> &str {
        line.checked_sub(1).and_then(|skip| self.comments.lines().nth(skip)).map_or("", str::trim)
    }

    /// Whether a line is there only for tests.
    pub(crate) fn is_test(&self, line: usize) -> bool {
        self.tests.iter().any(|block| block.contains(&line))
    }

    /// Whether a line belongs to a test whose clock is tokio's and paused: there a sleep takes no
    /// time, but moves the clock.
    pub(crate) fn is_paused(&self, line: usize) -> bool {
        self.paused.iter().any(|block| block.contains(&line))
    }
}

/// Whether a character can be part of a name.
pub(crate) fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

struct Scanner {
    text: Vec<char>,
    at: usize,
    line: usize,
    code: String,
    comments: String,
    literals: Vec<(usize, String)>,
}

/// Where a character goes.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Code,
    Comment,
    Literal,
}

impl Scanner {
    fn new(text: &str) -> Self {
        let (code, comments) = (String::new(), String::new());
        Self { text: text.chars().collect(), at: 0, line: 1, code, comments, literals: Vec::new() }
    }

    fn scan(&mut self) {
        while let Some(c) = self.peek(0) {
            let begins_name = self.at == 0 || !is_name(self.text[self.at - 1]);
            match c {
                '/' if self.peek(1) == Some('/') => self.line_comment(),
                '/' if self.peek(1) == Some('*') => self.block_comment(),
                '"' => self.literal(None),
                'r' | 'b' | 'c' if begins_name && self.raw_hashes().is_some() => {
                    let hashes = self.raw_hashes();
                    while self.peek(0) != Some('"') {
                        self.take(Part::Code);
                    }
                    self.literal(hashes);
                }
                '\'' => self.character_or_lifetime(),
                _ => self.take(Part::Code),
            }
        }
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.text.get(self.at + ahead).copied()
    }

    /// Moves one character into its part, a space into the others, a line's end into all.
    fn take(&mut self, part: Part) {
        let c = self.text[self.at];
        let only = |wanted: Part| if c == '\n' || part == wanted { c } else { ' ' };
        self.code.push(only(Part::Code));
        self.comments.push(only(Part::Comment));
        self.line += usize::from(c == '\n');
        self.at += 1;
    }

    fn line_comment(&mut self) {
        while self.peek(0).is_some_and(|c| c != '\n') {
            self.take(Part::Comment);
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        while let Some(c) = self.peek(0) {
            match (c, self.peek(1)) {
                ('/', Some('*')) => depth += 1,
                ('*', Some('/')) => depth -= 1,
                _ => {
                    self.take(Part::Comment);
                    continue;
                }
            }
            self.take(Part::Comment);
            self.take(Part::Comment);
            if depth == 0 {
                return;
            }
        }
    }

    /// The number of `#` when a raw string begins here: `r"`, `br##"`, `cr#"`.
    fn raw_hashes(&self) -> Option<usize> {
        let prefix = match (self.peek(0), self.peek(1)) {
            (Some('r'), _) => 1,
            (Some('b' | 'c'), Some('r')) => 2,
            _ => return None,
        };
        let hashes = self.text[self.at + prefix..].iter().take_while(|c| **c == '#').count();
        (self.peek(prefix + hashes) == Some('"')).then_some(hashes)
    }

    /// A string literal from its opening quote: a raw one with so many `#`, or one with escapes.
    fn literal(&mut self, raw_hashes: Option<usize>) {
        let line = self.line;
        self.take(Part::Code);
        let start = self.at;
        while let Some(c) = self.peek(0) {
            let ends = c == '"'
                && (1..=raw_hashes.unwrap_or(0)).all(|ahead| self.peek(ahead) == Some('#'));
            if ends {
                break;
            }
            if c == '\\' && raw_hashes.is_none() {
                self.take(Part::Literal);
            }
            if self.peek(0).is_some() {
                self.take(Part::Literal);
            }
        }
        self.literals.push((line, self.text[start..self.at].iter().collect()));
        if self.peek(0).is_some() {
            self.take(Part::Code);
        }
    }

    /// `'a'`, `'\''` and `'\u{1F3AB}'` are characters and belong to no part; `'a` is a lifetime.
    fn character_or_lifetime(&mut self) {
        let length = match (self.peek(1), self.peek(2)) {
            (Some('\\'), _) => {
                // What follows the backslash is never the end.
                let rest = self.text[self.at..].iter().skip(3);
                3 + rest.take_while(|c| **c != '\'').count() + 1
            }
            (Some(_), Some('\'')) => 3,
            _ => {
                self.take(Part::Code);
                return;
            }
        };
        for _ in 0..length.min(self.text.len() - self.at) {
            self.take(Part::Literal);
        }
    }
}

/// The lines of the items that stand behind one of these attributes.
fn blocks_behind(attributes: &[&str], code: &str) -> Vec<RangeInclusive<usize>> {
    let mut blocks = Vec::new();
    for attribute in attributes {
        for (at, _) in code.match_indices(*attribute) {
            let item = at + attribute.len();
            let end = item + length_of_item(&code[item..]);
            blocks.push(line_of(code, at)..=line_of(code, end));
        }
    }
    blocks
}

fn line_of(code: &str, at: usize) -> usize {
    1 + code[..at].matches('\n').count()
}

/// How far an item goes: to the end of its first block, or to the `;` of one that has none.
fn length_of_item(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && c == '}' {
                    return at;
                }
            }
            ';' if depth == 0 => return at,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        RustText::of("a.rs", text).code
    }

    fn literals(text: &str) -> Vec<String> {
        RustText::of("a.rs", text).literals.into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        assert_eq!(code("a // b\nc"), "a     \nc");
        assert_eq!(code("a /* b /* c */ d */ e"), "a                   e");
        assert_eq!(code("a(\"b // c\")"), "a(\"      \")");
        assert_eq!(code("\"\\\"b\" c"), "\"   \" c");
        assert_eq!(code("r#\"a\" b\"# c"), "r#\"    \"# c");
        assert_eq!(code("('\"', '\\'', a)"), "(   ,     , a)");
        assert_eq!(code("fn f<'a>(x: &'a str) // 'b"), "fn f<'a>(x: &'a str)      ");
        assert_eq!(code("for r in b"), "for r in b");
    }

    #[test]
    fn literals_are_told_with_their_lines() {
        let text = RustText::of("a.rs", "\n(\"one\", b\"two\",\n r\"th\\ree\", cr##\"f\"#our\"##)");
        let expected = [(2, "one"), (2, "two"), (3, "th\\ree"), (3, "f\"#our")];
        assert_eq!(text.literals, expected.map(|(line, text)| (line, text.to_owned())));
        assert_eq!(literals("\"never closed"), ["never closed"]);
        assert_eq!(literals("\"never closed\\"), ["never closed\\"]);
        assert_eq!(literals("'\\"), [""; 0]);
    }

    #[test]
    fn comments_are_found_by_line() {
        let text = RustText::of("a.rs", "a // one\n/* two\nthree */ b // é\n");
        assert_eq!(text.comment_on(1), "// one");
        assert_eq!(text.comment_on(2), "/* two");
        assert_eq!(text.comment_on(3), "three */   // é");
        assert_eq!(text.comment_on(4), "");
        assert_eq!(text.comment_on(0), "");
    }

    #[test]
    fn lines_for_tests_are_told_apart() {
        let text = "fn a() {}\n\
                    #[cfg(test)]\n\
                    use b::{c,\n d};\n\
                    fn e() {}\n\
                    #[cfg(test)]\n\
                    mod tests {\n\
                    fn f(g: [u8; 2]) { \"}\" }\n\
                    }\n\
                    fn h() {}";
        let text = RustText::of("src/a.rs", text);
        let tests: Vec<usize> = (1..=10).filter(|line| text.is_test(*line)).collect();
        assert_eq!(tests, [2, 3, 4, 6, 7, 8, 9]);
        assert!((1..=10).all(|line| !text.is_paused(line)));
        assert!(RustText::of("crates/a/tests/b.rs", "fn c() {}").is_test(1));
        assert!(RustText::of("src/a/tests.rs", "fn c() {}").is_test(1));
    }
}
