//! Figures beside their targets: what was measured, what it should be, whether it is.

use super::table;

/// One figure of a benchmark.
#[derive(Debug, Clone)]
pub(super) struct Judged {
    what: String,
    figure: f64,
    /// At most so much; `None`: for information.
    most: Option<f64>,
}

impl Judged {
    pub(super) fn at_most(what: impl Into<String>, figure: f64, most: f64) -> Self {
        Self {
            what: what.into(),
            figure,
            most: Some(most),
        }
    }

    pub(super) fn told(what: impl Into<String>, figure: f64) -> Self {
        Self {
            what: what.into(),
            figure,
            most: None,
        }
    }

    fn cells(&self) -> Vec<String> {
        let most = self.most.map(|most| format!("≤ {}", digits(most)));
        let verdict = self.most.map(|most| match self.figure <= most {
            true => "ok".to_owned(),
            false => "MISSED".to_owned(),
        });
        vec![
            self.what.clone(),
            most.unwrap_or_default(),
            digits(self.figure),
            verdict.unwrap_or_default(),
        ]
    }
}

/// Prints them as a table.
pub(super) fn print(title: &str, figures: &[Judged]) {
    let rows: Vec<_> = figures.iter().map(Judged::cells).collect();
    println!();
    table::print(&[title, "target", "figure", ""], &rows);
}

/// Whole numbers as they are, others with as many digits as say something.
fn digits(figure: f64) -> String {
    match figure.abs() {
        _ if figure.fract() == 0.0 => format!("{figure:.0}"),
        size if size >= 100.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.1}"),
        size if size >= 0.1 => format!("{figure:.2}"),
        _ => format!("{figure:.4}"),
    }
}
