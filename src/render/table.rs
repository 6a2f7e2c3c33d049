//! A table for people and for spreadsheets: fitted to a terminal, as Markdown, or as CSV.
//!
//! In: columns of plain text from any verb. Out: text whose every cell went through the sink's function
//! in [`super::safe`].

use tabled::builder::Builder;
use tabled::grid::util::string::get_line_width;
use tabled::settings::object::Columns;
use tabled::settings::{Alignment, Padding, Style};

use super::safe;

/// Between columns in a terminal.
const GAP: usize = 2;

/// One column.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its title.
    pub title: String,
    /// Its cells, plain text.
    pub cells: Vec<String>,
    /// Whether it holds numbers, which line up on the right.
    pub numeric: bool,
    /// Which columns go first where the terminal is too narrow: those of the lowest rank, from the right.
    /// Columns of rank [`Column::KEEP`] stay.
    pub rank: u8,
}

impl Column {
    /// The rank of a column that is never left out.
    pub const KEEP: u8 = u8::MAX;

    /// A column of texts.
    pub fn text(title: &str, rank: u8) -> Self {
        Column { title: title.to_owned(), cells: Vec::new(), numeric: false, rank }
    }

    /// A column of numbers.
    pub fn number(title: &str, rank: u8) -> Self {
        Column { numeric: true, ..Column::text(title, rank) }
    }

    fn width(&self) -> usize {
        let cells = self.cells.iter().map(|c| get_line_width(&safe::terminal(c)));
        cells.chain([get_line_width(&self.title)]).max().unwrap_or(0)
    }
}

/// Columns of equal length.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Left to right.
    pub columns: Vec<Column>,
}

impl Table {
    /// Adds a row; missing cells are empty.
    pub fn push<S: Into<String>>(&mut self, row: impl IntoIterator<Item = S>) {
        let mut cells = row.into_iter().map(Into::into);
        for column in &mut self.columns {
            column.cells.push(cells.next().unwrap_or_default());
        }
    }

    fn rows(&self) -> usize {
        self.columns.iter().map(|c| c.cells.len()).max().unwrap_or(0)
    }

    /// Leaves out columns until `width` suffices; returns the titles of those left out.
    pub fn fit(&mut self, width: usize) -> Vec<String> {
        let mut widths: Vec<_> = self.columns.iter().map(Column::width).collect();
        let mut left_out = Vec::new();
        let needed = |widths: &[usize]| widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
        while needed(&widths) > width {
            let droppable = self.columns.iter().enumerate().filter(|(_, c)| c.rank != Column::KEEP);
            let Some((at, _)) = droppable.min_by_key(|(i, c)| (c.rank, usize::MAX - i)) else { break };
            left_out.push(self.columns.remove(at).title);
            widths.remove(at);
        }
        left_out
    }

    /// Lines for a terminal: a heading, then the rows. The heading is bold where `color`.
    pub fn terminal(&self, color: bool) -> String {
        let mut table = self.grid(|cell| safe::terminal(cell).into_owned());
        table.with(Style::empty()).with(Padding::new(0, GAP, 0, 0));
        self.align(&mut table);
        let mut out = String::new();
        for (at, line) in table.to_string().lines().enumerate() {
            let line = line.trim_end();
            match at == 0 && color {
                true => out.extend(["\u{1b}[1m", line, "\u{1b}[0m"]),
                false => out.push_str(line),
            }
            out.push('\n');
        }
        out
    }

    /// A GitHub-flavoured Markdown table.
    pub fn markdown(&self) -> String {
        let mut table = self.grid(|cell| safe::markdown(cell).into_owned());
        table.with(Style::markdown());
        self.align(&mut table);
        format!("{table}\n")
    }

    /// CSV with a heading.
    pub fn csv(&self) -> String {
        let mut out = String::new();
        let mut line = |cells: &mut dyn Iterator<Item = &str>| {
            let cells: Vec<_> = cells.map(safe::csv).collect();
            out.push_str(&cells.join(","));
            out.push('\n');
        };
        line(&mut self.columns.iter().map(|c| c.title.as_str()));
        for row in 0..self.rows() {
            line(&mut self.columns.iter().map(|c| c.cells.get(row).map_or("", String::as_str)));
        }
        out
    }

    fn grid(&self, safe: impl Fn(&str) -> String) -> tabled::Table {
        let mut builder = Builder::with_capacity(self.rows() + 1, self.columns.len());
        builder.push_record(self.columns.iter().map(|c| safe(&c.title)));
        for row in 0..self.rows() {
            builder.push_record(
                self.columns.iter().map(|c| c.cells.get(row).map_or_else(String::new, |c| safe(c))),
            );
        }
        builder.build()
    }

    fn align(&self, table: &mut tabled::Table) {
        for (at, column) in self.columns.iter().enumerate() {
            let side = if column.numeric { Alignment::right() } else { Alignment::left() };
            table.modify(Columns::one(at), side);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table {
            columns: vec![Column::text("name", Column::KEEP), Column::number("n", 2), Column::text("why", 1)],
        };
        table.push(["a|b", "1", "x"]);
        table.push(["\u{1b}[31m", "-20", "=cmd"]);
        table
    }

    #[test]
    fn numbers_line_up_and_hostile_cells_are_harmless() {
        assert_eq!(
            table().terminal(false),
            "name          n  why\na|b           1  x\n\\u{1b}[31m  -20  =cmd\n"
        );
        assert_eq!(table().csv(), "name,n,why\na|b,1,x\n\\u{1b}[31m,-20,\"'=cmd\"\n");
        assert!(table().markdown().contains("| a\\|b "));
    }

    #[test]
    fn a_narrow_terminal_loses_the_lowest_rank_first() {
        let mut narrow = table();
        assert_eq!(narrow.fit(16), ["why"]);
        assert_eq!(narrow.fit(3), ["n"]);
        assert_eq!(narrow.columns.len(), 1);
    }
}
