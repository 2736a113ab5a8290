//! Words that may not stand in certain files, and how they are looked for.

use super::Breach;
use crate::rust_text::{RustText, is_name};
use crate::tree::Tree;

/// A ban on words.
#[derive(Debug)]
pub(super) struct Words {
    /// Whether the ban holds in the file at this path.
    pub(super) place: fn(&str) -> bool,
    pub(super) part: Part,
    /// Whether it holds in what is there only for tests.
    pub(super) in_tests: bool,
    /// The words, with a space between them.
    pub(super) words: &'static str,
}

/// Where in a Rust file a word is looked for, and what counts as finding it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Part {
    /// In the code, as it is written: `fs::` is found in `std::fs::read`, not in `buffs::READ`.
    Code,
    /// In the code and the string literals, as one of the words that a name or a sentence is made
    /// of, in either case: `jwt` is found in `QueueJwt`, in `JWT_KEY` and in `"no JWT"`.
    CodeAndLiterals,
    /// The same in the comments too, in the singular or the plural.
    Speech,
}

impl Words {
    /// Every line where one of the words is found.
    pub(super) fn breaches(&self, tree: &Tree) -> Vec<Breach> {
        let mut breaches = Vec::new();
        for (file, rust) in tree.rust().filter(|(file, _)| (self.place)(&file.path)) {
            for (line, text) in self.part.lines_of(rust) {
                if !self.in_tests && rust.is_test(line) {
                    continue;
                }
                for word in self.words.split(' ').filter(|word| self.part.finds(word, text)) {
                    breaches.push(Breach::at(file, line, format!("`{word}` may not stand here")));
                }
            }
        }
        breaches
    }
}

impl Part {
    fn lines_of(self, rust: &RustText) -> Vec<(usize, &str)> {
        let mut lines: Vec<(usize, &str)> = rust.code().collect();
        if self != Self::Code {
            for (first, literal) in &rust.literals {
                lines.extend((*first..).zip(literal.lines()));
            }
        }
        if self == Self::Speech {
            lines.extend(rust.comments());
        }
        lines
    }

    fn finds(self, word: &str, text: &str) -> bool {
        let is_word = |part: &str| part.eq_ignore_ascii_case(word);
        match self {
            Self::Code => has_word(text, word),
            Self::CodeAndLiterals => words_of(text).any(is_word),
            Self::Speech => words_of(text)
                .any(|part| is_word(part) || part.strip_suffix(['s', 'S']).is_some_and(is_word)),
        }
    }
}

/// Whether the word stands in the text by itself: not as the beginning, middle or end of a name.
pub(super) fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        let joins = |outer: Option<char>, inner: Option<char>| {
            outer.is_some_and(is_name) && inner.is_some_and(is_name)
        };
        !joins(before, word.chars().next()) && !joins(after, word.chars().next_back())
    })
}

/// The words that sentences and names are made of: `SeatMap`, `seat_map` and `seat map` are two.
fn words_of(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).flat_map(humps).filter(|word| !word.is_empty())
}

/// `SeatMap` at its humps; `HTTPServer` stays one word, which nobody here writes.
fn humps(name: &str) -> impl Iterator<Item = &str> {
    let mut rest = name;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let is_hump =
            |pair: &((usize, char), char)| pair.0.1.is_lowercase() && pair.1.is_uppercase();
        let pairs = rest.char_indices().zip(rest.chars().skip(1));
        let end =
            pairs.into_iter().find(is_hump).map_or(rest.len(), |((at, c), _)| at + c.len_utf8());
        let (word, tail) = rest.split_at(end);
        rest = tail;
        Some(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_by_itself_only() {
        assert!(has_word("use std::fs::read;", "fs::"));
        assert!(!has_word("use buffs::READ;", "fs::"));
        assert!(has_word("let x: HashMap<A, B>", "HashMap"));
        assert!(!has_word("let x: FxHashMap<A, B>", "HashMap"));
        assert!(!has_word("fn environment(env: E)", "env::"));
        assert!(has_word("todo!()", "todo!"));
        assert!(!has_word("rand_core", "rand"));
    }

    #[test]
    fn names_and_sentences_are_made_of_words() {
        let words = |text| words_of(text).collect::<Vec<_>>();
        assert_eq!(words("SeatMap::hold_all(\"A1 b\")"), ["Seat", "Map", "hold", "all", "A1", "b"]);
        assert_eq!(words("매표 saleId"), ["매표", "sale", "Id"]);
        assert!(Part::Speech.finds("sale", "SALES of"));
        assert!(!Part::Speech.finds("sale", "wholesale resale"));
        assert!(!Part::CodeAndLiterals.finds("sale", "sales"));
    }
}
