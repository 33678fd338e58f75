//! ③ The lines of `trials.csv` by the million: written and read back without serde.
//!
//! [`TrialRow`] says what the columns are, and serde what a line looks like. Rows of one cell differ in their last columns alone:
//! what they share is serialised once, the rest is put behind it by hand. Reading back, the few columns that tables are made of are
//! looked for from the end of the line, where no field is ever quoted. Tests hold both to serde's lines.

use crate::paired::Compared;
use crate::record::{self, TrialRow};

/// The last columns of a row: those that its cell does not settle, in order.
const OWN: [&str; 14] = [
    "trial",
    "seed",
    "completed",
    "reason",
    "makespan_s",
    "useful_s",
    "checkpoint_time_s",
    "lost_s",
    "restart_time_s",
    "down_s",
    "failures",
    "checkpoints",
    "waste",
    "digest_ok",
];

/// Lines of one cell's rows.
#[derive(Debug)]
pub(crate) struct CellLines {
    /// What all its lines begin with.
    shared: String,
    text: String,
}

impl CellLines {
    /// Of the cell that this row is of.
    pub(crate) fn new(row: &TrialRow) -> CellLines {
        CellLines {
            shared: shared(row),
            text: String::new(),
        }
    }

    /// Adds the line of a row of the cell.
    pub(crate) fn add(&mut self, row: &TrialRow) {
        self.text.push_str(&self.shared);
        self.integer(row.trial.into());
        self.integer(row.seed);
        self.word(truth(row.completed));
        self.word(row.reason.as_deref().unwrap_or_default());
        for seconds in [
            row.makespan_s,
            row.useful_s,
            row.checkpoint_time_s,
            row.lost_s,
            row.restart_time_s,
            row.down_s,
        ] {
            self.float(seconds);
        }
        self.integer(row.failures);
        self.integer(row.checkpoints);
        self.float(row.waste);
        self.text.push_str(row.digest_ok.map_or("", truth));
        self.text.push('\n');
    }

    pub(crate) fn lines(self) -> String {
        self.text
    }

    fn word(&mut self, word: &str) {
        self.text.push_str(word);
        self.text.push(',');
    }

    fn integer(&mut self, number: u64) {
        self.word(itoa::Buffer::new().format(number));
    }

    fn float(&mut self, number: Option<f64>) {
        let Some(number) = number else {
            return self.word("");
        };
        let mut buffer = zmij::Buffer::new();
        let digits = buffer.format(number);
        if number.abs() < PLAIN_BELOW {
            return self.word(digits);
        }
        // Serde's lines have no sign before a positive exponent.
        let (digits, exponent) = digits.split_once('+').unwrap_or(("", digits));
        self.text.push_str(digits);
        self.word(exponent);
    }
}

/// What all rows of the cell of this one begin with.
fn shared(row: &TrialRow) -> String {
    let mut line = record::line(row);
    let own = line.rmatch_indices(',').nth(OWN.len() - 1);
    let (end, comma) = own.expect("a row has more columns than its own");
    line.truncate(end + comma.len());
    line
}

/// Tells the rows of one cell from what else a file may hold.
#[derive(Debug)]
pub(crate) struct CellRows {
    shared: String,
}

impl CellRows {
    /// Of the cell that this row is of.
    pub(crate) fn new(row: &TrialRow) -> CellRows {
        CellRows { shared: shared(row) }
    }

    /// Whether a line with its line feed is the row of this trial: whole, and each field of its kind.
    pub(crate) fn has(&self, line: &str, trial: u32, seed: u64) -> bool {
        let Some(own) = line.strip_prefix(&self.shared) else {
            return false;
        };
        let commas = own.bytes().filter(|&byte| byte == b',').count();
        let fields = own_fields(line.as_bytes()).filter(|_| commas + 1 == OWN.len());
        fields.is_some_and(|fields| {
            fields[0].parse() == Ok(trial) && fields[1].parse() == Ok(seed) && are_of_their_kinds(&fields)
        })
    }
}

fn are_of_their_kinds(own: &[&str; OWN.len()]) -> bool {
    let [
        _,
        _,
        completed,
        _,
        times @ ..,
        failures,
        checkpoints,
        waste,
        digest_ok,
    ] = own;
    let is_truth = |field: &str| field.parse::<bool>().is_ok();
    is_truth(completed)
        && (digest_ok.is_empty() || is_truth(digest_ok))
        && times.iter().chain([waste]).all(|field| float(field).is_ok())
        && [failures, checkpoints]
            .into_iter()
            .all(|field| field.parse::<u64>().is_ok())
}

/// Numbers from here on are written with an exponent.
const PLAIN_BELOW: f64 = 1e16;

fn truth(whether: bool) -> &'static str {
    if whether { "true" } else { "false" }
}

/// What a row of `trials.csv` says of its trial alone, as far as tables are made of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Measured {
    pub completed: bool,
    pub reason: Option<String>,
    pub makespan_s: Option<f64>,
    pub waste: Option<f64>,
    pub lost_s: Option<f64>,
    pub failures: u64,
    pub checkpoints: u64,
}

impl Measured {
    /// Reads a line with its line feed; `None` where a field is missing or none of its kind.
    pub(crate) fn of(line: &[u8]) -> Option<Measured> {
        let own = own_fields(line)?;
        let [
            _,
            _,
            completed,
            reason,
            makespan,
            _,
            _,
            lost,
            _,
            _,
            failures,
            checkpoints,
            waste,
            _,
        ] = own;
        Some(Measured {
            completed: completed.parse().ok()?,
            reason: (!reason.is_empty()).then(|| reason.to_owned()),
            makespan_s: float(makespan).ok()?,
            waste: float(waste).ok()?,
            lost_s: float(lost).ok()?,
            failures: failures.parse().ok()?,
            checkpoints: checkpoints.parse().ok()?,
        })
    }
}

/// A line that is no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoRow;

/// What is compared of a line.
pub(crate) fn compared(line: &[u8]) -> Result<Compared, NoRow> {
    let [_, _, _, _, makespan, _, _, _, _, _, failures, ..] = own_fields(line).ok_or(NoRow)?;
    Ok(Compared {
        makespan_s: float(makespan)?,
        failures: failures.parse().map_err(|_| NoRow)?,
    })
}

fn float(field: &str) -> Result<Option<f64>, NoRow> {
    match field {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| NoRow),
    }
}

fn own_fields(line: &[u8]) -> Option<[&str; OWN.len()]> {
    let line = str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let mut fields = [""; OWN.len()];
    let (mut left, mut end) = (OWN.len(), line.len());
    for (at, &byte) in line.as_bytes().iter().enumerate().rev() {
        if byte == b',' {
            left -= 1;
            fields[left] = &line[at + 1..end];
            end = at;
            if left == 0 {
                return Some(fields);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_own_columns_are_the_last_of_the_header() {
        let header = record::header::<TrialRow>();
        assert!(header.ends_with(&format!(",{}\n", OWN.join(","))), "{header}");
    }

    fn seconds() -> impl Strategy<Value = Option<f64>> {
        let nanos = (0..1u64 << 60).prop_map(|nanos| std::time::Duration::from_nanos(nanos).as_secs_f64());
        let odd = prop_oneof![
            Just(0.0),
            Just(5040.0),
            Just(1e16),
            Just(1e-7),
            Just(f64::INFINITY)
        ];
        proptest::option::of(prop_oneof![nanos, odd, any::<f64>()])
    }

    fn rows() -> impl Strategy<Value = TrialRow> {
        let end = (
            any::<bool>(),
            proptest::option::of("[a-z-]{1,12}"),
            any::<Option<bool>>(),
        );
        let times = proptest::array::uniform7(seconds());
        (any::<(u32, u64, u64, u64)>(), end, times).prop_map(|(numbers, end, times)| TrialRow {
            experiment: "e".to_owned(),
            setting: "a=1,b=\"x\"".to_owned(),
            trial: numbers.0,
            seed: numbers.1,
            failures: numbers.2,
            checkpoints: numbers.3,
            completed: end.0,
            reason: end.1,
            digest_ok: end.2,
            makespan_s: times[0],
            useful_s: times[1],
            checkpoint_time_s: times[2],
            lost_s: times[3],
            restart_time_s: times[4],
            down_s: times[5],
            waste: times[6],
            ..TrialRow::default()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn lines_are_those_of_serde_and_read_back(row in rows()) {
            let mut lines = CellLines::new(&TrialRow { trial: 7, reason: Some("x".to_owned()), ..row.clone() });
            lines.add(&row);
            let line = lines.lines();
            prop_assert_eq!(&line, &record::line(&row));
            let found = Measured::of(line.as_bytes()).unwrap();
            let compared = compared(line.as_bytes()).unwrap();
            prop_assert_eq!((compared.makespan_s, compared.failures), (found.makespan_s, found.failures));
            let said = (row.completed, row.reason, row.failures, row.checkpoints);
            prop_assert_eq!((found.completed, found.reason, found.failures, found.checkpoints), said);
            let bits = |number: Option<f64>| number.map(f64::to_bits);
            prop_assert_eq!(bits(found.makespan_s), bits(row.makespan_s));
            prop_assert_eq!(bits(found.waste), bits(row.waste));
            prop_assert_eq!(bits(found.lost_s), bits(row.lost_s));
        }

        #[test]
        fn rows_are_known_by_their_cell_and_trial(row in rows()) {
            let line = record::line(&row);
            let cell = CellRows::new(&TrialRow { trial: 7, ..row.clone() });
            prop_assert!(cell.has(&line, row.trial, row.seed));
            prop_assert!(!cell.has(&line, row.trial ^ 1, row.seed) && !cell.has(&line, row.trial, row.seed ^ 1));
            let other = CellRows::new(&TrialRow { point: 1, ..row.clone() });
            prop_assert!(!other.has(&line, row.trial, row.seed));
        }

        /// What is left of a row, whatever follows, is none, unless it reads as one to serde, too.
        #[test]
        fn torn_rows_are_told(row in rows(), cut in 0usize..200, rubbish in "[0-9a-z,.]{0,9}") {
            let line = record::line(&row);
            let torn = line[..cut.min(line.len() - 1)].to_owned() + &rubbish + "\n";
            let serde = || record::parse::<TrialRow>(&torn).is_some_and(|found| (found.trial, found.seed) == (row.trial, row.seed));
            prop_assert!(!CellRows::new(&row).has(&torn, row.trial, row.seed) || serde());
        }

        #[test]
        fn what_is_no_row_is_told(line in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(Measured::of(&line), None);
        }
    }
}
