//! Where in a file something stands: which field, and on which line.

use std::fmt;

use toml::de::{DeTable, DeValue};

/// A field of a sale's file, from the top: `performances[1].date`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Name(String),
    Item(usize),
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, step) in self.0.iter().enumerate() {
            match step {
                Step::Name(name) if n == 0 => f.write_str(name)?,
                Step::Name(name) => write!(f, ".{name}")?,
                Step::Item(number) => write!(f, "[{number}]")?,
            }
        }
        Ok(())
    }
}

/// Where a field stands, from the top, while it is read.
#[derive(Clone, Copy)]
pub(super) enum Path<'p> {
    Top,
    Field(&'p Path<'p>, &'p str),
    Item(&'p Path<'p>, &'p str, usize),
}

impl Path<'_> {
    /// The field that it leads to.
    pub(super) fn field(&self) -> Field {
        match self {
            Self::Top => Field(Vec::new()),
            Self::Field(parent, name) => parent.field().name(name),
            Self::Item(parent, name, number) => parent.field().name(name).item(*number),
        }
    }
}

/// A place in a text; both are counted from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} column {}", self.line, self.column)
    }
}

impl Place {
    /// Where the byte `at` of a text stands.
    pub(super) fn of(text: &str, at: usize) -> Self {
        let before = &text.as_bytes()[..at.min(text.len())];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let begin = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let column = String::from_utf8_lossy(&before[begin..]).chars().count() + 1;
        Self { line, column }
    }
}

impl Field {
    /// A field of the file itself.
    pub(super) fn top(name: &str) -> Self {
        Self(Vec::new()).name(name)
    }

    /// A field of this one.
    pub(super) fn name(self, name: &str) -> Self {
        self.with(Step::Name(name.to_owned()))
    }

    /// An item of this list.
    pub(super) fn item(self, number: usize) -> Self {
        self.with(Step::Item(number))
    }

    fn with(mut self, step: Step) -> Self {
        self.0.push(step);
        self
    }

    /// Where it stands in a text in TOML; of a field that is missing, where what it is missing from
    /// stands. None for what cannot be read.
    pub(super) fn place_in(&self, toml: &str) -> Option<Place> {
        let top = DeTable::parse(toml).ok()?;
        let mut at = 0;
        let mut table = Some(top.get_ref());
        let mut value: Option<&DeValue<'_>> = None;
        for step in &self.0 {
            let found = match step {
                Step::Name(name) => {
                    let here = table.or_else(|| value.and_then(DeValue::as_table));
                    here.and_then(|table| table.get(name.as_str()))
                }
                Step::Item(number) => {
                    value.and_then(DeValue::as_array).and_then(|list| list.get(*number))
                }
            };
            let Some(found) = found else { break };
            at = found.span().start;
            (table, value) = (None, Some(found.get_ref()));
        }
        Some(Place::of(toml, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "title = \"봄\"\n\
        grades = [{ name = \"R\", price = 1 }, { name = \"가\", price = 2 }]\n\
        \n\
        [[performances]]\n\
        id = \"one\"\n\
        \n\
        [[performances]]\n\
        id = \"two\"\n\
        at = { x = 1, y = 2 }\n";

    fn place(path: &Path<'_>) -> (usize, usize) {
        let place = path.field().place_in(TEXT).expect("it can be read");
        (place.line, place.column)
    }

    #[test]
    fn a_field_is_found_where_it_stands() {
        let top = Path::Top;
        assert_eq!(place(&Path::Field(&top, "title")), (1, 9));
        assert_eq!(place(&Path::Field(&Path::Item(&top, "grades", 1), "price")), (2, 60));
        let second = Path::Item(&top, "performances", 1);
        assert_eq!(place(&Path::Field(&second, "id")), (8, 6));
        assert_eq!(place(&Path::Field(&Path::Field(&second, "at"), "y")), (9, 19));
        // What is missing is missing from something.
        assert_eq!(place(&Path::Field(&second, "date")).0, 7);
        assert_eq!(place(&Path::Field(&top, "venue")), (1, 1));
    }

    #[test]
    fn a_field_is_named_from_the_top() {
        let top = Path::Top;
        let second = Path::Item(&top, "performances", 1);
        assert_eq!(Path::Field(&second, "date").field().to_string(), "performances[1].date");
        assert_eq!(Path::Field(&top, "title").field().to_string(), "title");
    }
}
