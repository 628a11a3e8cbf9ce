//! Tables of figures in plain text.

/// Prints rows under headings: the first column to the left, figures to the right.
pub(super) fn print(headings: &[&str], rows: &[Vec<String>]) {
    let widths: Vec<usize> = (0..headings.len())
        .map(|column| width(headings, rows, column))
        .collect();
    line(headings.iter().copied(), &widths);
    let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    line(rules.iter().map(String::as_str), &widths);
    for row in rows {
        line(row.iter().map(String::as_str), &widths);
    }
}

fn width(headings: &[&str], rows: &[Vec<String>], column: usize) -> usize {
    let cells = rows.iter().filter_map(|row| row.get(column));
    let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
    widest.max(headings[column].chars().count())
}

fn line<'a>(cells: impl Iterator<Item = &'a str>, widths: &[usize]) {
    let mut text = String::new();
    for (column, (cell, width)) in cells.zip(widths).enumerate() {
        let cell = match column {
            0 => format!("{cell:<width$}"),
            _ => format!("  {cell:>width$}"),
        };
        text.push_str(&cell);
    }
    println!("{}", text.trim_end());
}
