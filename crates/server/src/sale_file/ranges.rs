//! Names of rows and seats as people write them: `A-T`, `1-40`, `A-C,E,10-12`.

/// Names in one list, at most: no hall has as many rows, no row as many seats.
const NAMES_MAX: usize = 10_000;

/// The names that a text stands for, in its order, each once.
///
/// Between commas stand names and ranges. A range runs over numbers, with leading zeros if its
/// beginning has some (`01-12`), or over capitals as on a spreadsheet's columns (`A-Z`, `Y-AC`).
///
/// # Errors
/// What is wrong, as the end of a sentence that begins with the field.
pub(super) fn names(text: &str) -> Result<Vec<String>, String> {
    let mut names: Vec<String> = Vec::new();
    for item in text.split(',').map(str::trim) {
        match item.split_once('-') {
            None if item.is_empty() => return Err("has an empty name".to_owned()),
            None => names.push(item.to_owned()),
            Some((first, last)) => {
                let range = range(first.trim(), last.trim());
                let range = range.ok_or_else(|| format!("has `{item}`, which is no range"))?;
                names.extend(range.take(NAMES_MAX + 1));
            }
        }
        if names.len() > NAMES_MAX {
            return Err(format!("has more than {NAMES_MAX} names"));
        }
    }
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("has `{}` twice", pair[0])),
        None => Ok(names),
    }
}

fn range(first: &str, last: &str) -> Option<Box<dyn Iterator<Item = String>>> {
    if let (Some(from), Some(to)) = (number(first), number(last)) {
        let width = if first.starts_with('0') { first.len() } else { 1 };
        return (from <= to).then(|| numbers(from, to, width));
    }
    let (from, to) = (column(first)?, column(last)?);
    (from <= to).then(|| Box::new((from..=to).map(column_name)) as Box<_>)
}

fn numbers(from: u32, to: u32, width: usize) -> Box<dyn Iterator<Item = String>> {
    Box::new((from..=to).map(move |number| format!("{number:0width$}")))
}

fn number(text: &str) -> Option<u32> {
    let digits = (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// `A` is 1, `Z` 26, `AA` 27.
fn column(text: &str) -> Option<u32> {
    let capitals = (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase());
    capitals.then(|| text.bytes().fold(0, |sum, byte| sum * 26 + u32::from(byte - b'A') + 1))
}

fn column_name(mut column: u32) -> String {
    let mut letters = Vec::new();
    while column > 0 {
        let letter = u8::try_from((column - 1) % 26).expect("less than 26");
        letters.push(char::from(b'A' + letter));
        column = (column - 1) / 26;
    }
    letters.into_iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn names_are_what_people_mean() {
        let table = [
            ("A", "A"),
            ("A-E", "A B C D E"),
            ("Y-AC", "Y Z AA AB AC"),
            ("1-3", "1 2 3"),
            ("08-11", "08 09 10 11"),
            ("9-11", "9 10 11"),
            ("A-C, E ,10-12", "A B C E 10 11 12"),
            ("가,나,다", "가 나 다"),
            ("C-C", "C"),
            ("3,1-2", "3 1 2"),
        ];
        for (text, expected) in table {
            assert_eq!(names(text).expect(text).join(" "), expected, "{text}");
        }
    }

    #[test]
    fn what_nobody_can_mean_is_refused() {
        let table = [
            ("", "an empty name"),
            ("A,,B", "an empty name"),
            ("A-", "no range"),
            ("-", "no range"),
            ("E-A", "no range"),
            ("3-1", "no range"),
            ("A-3", "no range"),
            ("a-c", "no range"),
            ("가-하", "no range"),
            ("A-C,B", "`B` twice"),
            ("1-999999999", "more than 10000"),
            ("1-10000,A", "more than 10000"),
            ("AAA-ZZZ", "more than 10000"),
            ("1-99999999999999999999", "no range"),
        ];
        for (text, expected) in table {
            let refusal = names(text).expect_err(text);
            assert!(refusal.contains(expected), "{text}: {refusal}");
        }
    }
}
