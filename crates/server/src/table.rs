//! Tables for people: columns two spaces apart, each as wide as its widest cell on a screen.

/// On which side of its column a cell stands: words on the left, numbers on the right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

/// The rows as lines without a space at their ends; all of them have a cell for each of `sides`.
pub(crate) fn lines(rows: &[Vec<String>], sides: &[Side]) -> String {
    let widest = |column: usize| rows.iter().map(|row| column_width(&row[column])).max();
    let widths: Vec<usize> =
        (0..sides.len()).map(|column| widest(column).unwrap_or_default()).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for ((cell, side), width) in row.iter().zip(sides).zip(&widths) {
            let gap = " ".repeat(width - column_width(cell));
            let (before, behind) = match side {
                Side::Left => ("", &*gap),
                Side::Right => (&*gap, ""),
            };
            line.extend([before, cell, behind, "  "]);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// How many columns of a screen a text takes: characters of Korean, Chinese and Japanese take two.
pub(crate) fn column_width(text: &str) -> usize {
    let wide = |c: char| {
        matches!(u32::from(c),
            0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f
            | 0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1_f300..=0x1_faff | 0x2_0000..=0x3_fffd)
    };
    text.chars().map(|c| if wide(c) { 2 } else { 1 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_columns_and_no_space_at_the_end_of_a_line() {
        let rows = [["NAME", "VALUE", ""], ["가", "1", ""], ["longer", "1000", "was 5"]];
        let rows = rows.map(|row| row.map(ToOwned::to_owned).to_vec());
        let expected = "NAME    VALUE\n가          1\nlonger   1000  was 5\n";
        assert_eq!(lines(&rows, &[Side::Left, Side::Right, Side::Right]), expected);
    }
}
