//! Fixed-width text: cells in columns, one space or more between them, nothing at the end of a line.

/// One column: its head, and the width it has at least.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) head: &'static str,
    pub(super) width: usize,
}

/// Rows under their heads.
#[derive(Debug)]
pub(super) struct Columns {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
    gap: usize,
}

impl Columns {
    /// An empty table with `gap` spaces between its columns.
    pub(super) fn new(columns: Vec<Column>, gap: usize) -> Columns {
        Columns { columns, rows: Vec::new(), gap }
    }

    /// Adds a row, with a cell for each column.
    pub(super) fn push(&mut self, row: Vec<String>) {
        debug_assert_eq!(row.len(), self.columns.len());
        self.rows.push(row);
    }

    /// The head line, and the rows' lines.
    pub(super) fn lines(&self) -> (String, Vec<String>) {
        let widths = self.widths();
        let head = self.line(&widths, self.columns.iter().map(|column| column.head));
        let rows = self.rows.iter().map(|row| self.line(&widths, row.iter().map(String::as_str)));
        (head, rows.collect())
    }

    /// The characters of a line that fills every column.
    pub(super) fn width(&self) -> usize {
        let widths = self.widths();
        widths.iter().sum::<usize>() + self.gap * widths.len().saturating_sub(1)
    }

    fn widths(&self) -> Vec<usize> {
        let cells = |index: usize| self.rows.iter().filter_map(move |row| row.get(index));
        let widest = |(index, column): (usize, &Column)| {
            let widest_cell = cells(index).map(|cell| cell.chars().count()).max();
            column.width.max(column.head.len()).max(widest_cell.unwrap_or(0))
        };
        self.columns.iter().enumerate().map(widest).collect()
    }

    fn line<'a>(&self, widths: &[usize], cells: impl Iterator<Item = &'a str>) -> String {
        let padded: Vec<_> =
            widths.iter().zip(cells).map(|(width, cell)| format!("{cell:<width$}")).collect();
        padded.join(&" ".repeat(self.gap)).trim_end().to_owned()
    }
}
