//! Columns of text, as Ollama prints them.

use unicode_width::UnicodeWidthStr;

/// What stands behind each cell, also the last of a row.
const PADDING: &str = "    ";

/// Each row's cells under those of the others.
pub(crate) fn render(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut widths = vec![0; columns];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.width().max(*width);
        }
    }
    let mut text = String::new();
    for row in rows {
        for (column, width) in widths.iter().enumerate() {
            let cell = row.get(column).map_or("", String::as_str);
            text += cell;
            text.extend(std::iter::repeat_n(' ', width - cell.width()));
            text += PADDING;
        }
        text.push('\n');
    }
    text
}

/// A row as several, so that no cell is wider than `width` unless one of its words is.
pub(crate) fn wrap(row: &[String], width: usize) -> Vec<Vec<String>> {
    let cells: Vec<Vec<String>> = row.iter().map(|cell| lines(cell, width)).collect();
    let height = cells.iter().map(Vec::len).max().unwrap_or(0);
    let line = |n: usize| {
        let cells = cells
            .iter()
            .map(|lines| lines.get(n).cloned().unwrap_or_default());
        cells.collect()
    };
    (0..height).map(line).collect()
}

fn lines(cell: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for text in cell.lines() {
        let mut line = String::new();
        for word in text.split_whitespace() {
            if !line.is_empty() && line.width() + 1 + word.width() > width {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line += word;
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["NAME", "ID"], vec!["模型", "1"], vec!["long name"]];
        let rows = rows.map(|row| row.into_iter().map(str::to_owned).collect());
        assert_eq!(
            render(&rows),
            "NAME         ID    \n模型         1     \nlong name          \n"
        );
        assert_eq!(render(&[]), "");
    }
}
