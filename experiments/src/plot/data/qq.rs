//! The rows of `qq.csv`.

use std::io::Read;
use std::path::Path;

use super::table::Table;
use crate::plot::PlotError;

/// A quantile of a log and of a law.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct QqPoint {
    pub(crate) law: String,
    pub(crate) probability: f64,
    pub(crate) theoretical_s: f64,
    pub(crate) observed_s: f64,
}

pub(crate) fn read_qq(path: &Path, source: impl Read) -> Result<Vec<QqPoint>, PlotError> {
    let table = Table::open(path, source)?;
    let (law, probability) = (table.column("law")?, table.column("probability")?);
    let (theoretical, observed) = (table.column("theoretical_s")?, table.column("observed_s")?);
    let points = table.rows(|row| {
        let share = row
            .optional(probability)?
            .filter(|share| (0.0..=1.0).contains(share))
            .ok_or_else(|| row.unexpected(probability, "a number from 0 to 1"))?;
        Ok(QqPoint {
            law: row.name(law)?,
            probability: share,
            theoretical_s: row.duration_s(theoretical)?,
            observed_s: row.duration_s(observed)?,
        })
    })?;
    if points.is_empty() {
        return Err(PlotError::Nothing {
            path: path.to_owned(),
        });
    }
    Ok(points)
}
