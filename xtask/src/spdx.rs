//! SPDX licence expressions, as crates write them: `MIT OR Apache-2.0`, `(A AND B) OR C`,
//! `Apache-2.0 WITH LLVM-exception`, `MPL-2.0+`, and the old `MIT/Apache-2.0`, which means `OR`.
//!
//! It knows no list of licences: a name is only ever compared with the names that are allowed.
//! The grammar is annex D of the SPDX specification 2.3; `AND` binds closer than `OR`.

/// A licence expression.
#[derive(Debug, PartialEq)]
pub(crate) enum Expression {
    /// A licence with its exception, if any: `Apache-2.0 WITH LLVM-exception` is one name. The `+`
    /// for *or any later version* is not part of it: whoever allows a version allows it here too.
    Licence(String),
    /// All of them bind.
    All(Vec<Expression>),
    /// The user chooses one.
    Any(Vec<Expression>),
}

impl Expression {
    /// Understands an expression, or says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let spaced = text.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
        let mut words: Vec<&str> = spaced.split_whitespace().rev().collect();
        let expression = any(&mut words)?;
        match words.pop() {
            None => Ok(expression),
            Some(word) => Err(format!("`{word}` is not expected there")),
        }
    }

    /// Whether the licences that are allowed are enough to use what is under this expression.
    pub(crate) fn is_satisfied(&self, is_allowed: &dyn Fn(&str) -> bool) -> bool {
        match self {
            Self::Licence(name) => is_allowed(name),
            Self::All(parts) => parts.iter().all(|part| part.is_satisfied(is_allowed)),
            Self::Any(parts) => parts.iter().any(|part| part.is_satisfied(is_allowed)),
        }
    }
}

/// `all OR all OR …`. The words are a stack, the next one last.
fn any(words: &mut Vec<&str>) -> Result<Expression, String> {
    let mut parts = vec![all(words)?];
    while words.pop_if(|word| *word == "OR").is_some() {
        parts.push(all(words)?);
    }
    Ok(if parts.len() == 1 { parts.remove(0) } else { Expression::Any(parts) })
}

/// `one AND one AND …`
fn all(words: &mut Vec<&str>) -> Result<Expression, String> {
    let mut parts = vec![one(words)?];
    while words.pop_if(|word| *word == "AND").is_some() {
        parts.push(one(words)?);
    }
    Ok(if parts.len() == 1 { parts.remove(0) } else { Expression::All(parts) })
}

/// `( any )`, or a licence with or without its exception.
fn one(words: &mut Vec<&str>) -> Result<Expression, String> {
    if words.pop_if(|word| *word == "(").is_some() {
        let inner = any(words)?;
        return match words.pop() {
            Some(")") => Ok(inner),
            _ => Err("a parenthesis is not closed".to_owned()),
        };
    }
    let licence = name(words)?.trim_end_matches('+');
    if words.pop_if(|word| *word == "WITH").is_none() {
        return Ok(Expression::Licence(licence.to_owned()));
    }
    Ok(Expression::Licence(format!("{licence} WITH {}", name(words)?)))
}

/// A licence's or an exception's own name.
fn name<'a>(words: &mut Vec<&'a str>) -> Result<&'a str, String> {
    match words.pop() {
        None => Err("a licence is missing at the end".to_owned()),
        Some(word @ ("AND" | "OR" | "WITH" | "(" | ")")) => {
            Err(format!("a licence is missing before `{word}`"))
        }
        Some(word) => Ok(word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_satisfied_by_what_is_allowed() {
        // Expression, what is allowed, whether that is enough.
        let table = "
            MIT                                  | MIT             | yes
            MIT                                  | Apache-2.0      | no
            mit                                  | MIT             | no
            MIT OR Apache-2.0                    | Apache-2.0      | yes
            MIT/Apache-2.0                       | Apache-2.0      | yes
            Apache-2.0 / MIT                     | MIT             | yes
            MIT AND BSD-3-Clause                 | MIT             | no
            MIT AND BSD-3-Clause                 | MIT BSD-3-Clause| yes
            MIT OR GPL-3.0-only AND Zlib         | MIT             | yes
            MIT OR GPL-3.0-only AND Zlib         | Zlib            | no
            (MIT OR GPL-3.0-only) AND Zlib       | MIT             | no
            (MIT OR GPL-3.0-only) AND Zlib       | MIT Zlib        | yes
            ((MIT)) OR(Zlib)                     | Zlib            | yes
            MPL-2.0+                             | MPL-2.0         | yes
            MPL-2.0+                             | MPL-1.1         | no
            LGPL-2.1-or-later                    | LGPL-2.1        | no
            Apache-2.0 WITH LLVM-exception       | Apache-2.0      | no
            Apache-2.0 WITH LLVM-exception OR MIT| MIT             | yes
        ";
        let rows = table.lines().map(str::trim).filter(|row| !row.is_empty());
        for row in rows {
            let [text, allowed, answer] = row
                .split('|')
                .map(str::trim)
                .collect::<Vec<_>>()
                .try_into()
                .expect("a row has three columns");
            let expression = Expression::parse(text).unwrap();
            let is_allowed = |name: &str| allowed.split_whitespace().any(|one| one == name);
            assert_eq!(expression.is_satisfied(&is_allowed), answer == "yes", "{row}");
        }
    }

    #[test]
    fn an_exception_belongs_to_its_licence() {
        let expression = Expression::parse("GPL-2.0 WITH Classpath-exception-2.0").unwrap();
        let name = "GPL-2.0 WITH Classpath-exception-2.0".to_owned();
        assert_eq!(expression, Expression::Licence(name));
    }

    #[test]
    fn what_is_not_an_expression_is_told() {
        for (text, sentence) in [
            ("", "a licence is missing at the end"),
            ("MIT OR", "a licence is missing at the end"),
            ("OR MIT", "a licence is missing before `OR`"),
            ("MIT AND AND Zlib", "a licence is missing before `AND`"),
            ("(MIT", "a parenthesis is not closed"),
            ("(MIT Zlib)", "a parenthesis is not closed"),
            ("MIT)", "`)` is not expected there"),
            ("MIT Zlib", "`Zlib` is not expected there"),
            ("Apache-2.0 WITH", "a licence is missing at the end"),
            ("()", "a licence is missing before `)`"),
        ] {
            assert_eq!(Expression::parse(text), Err(sentence.to_owned()), "for `{text}`");
        }
    }
}
