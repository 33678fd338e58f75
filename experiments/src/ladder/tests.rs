use std::fs;

use revenant_sim::{HypervisorCosts, StoreCosts, SystemMemory};

use super::*;
use crate::plot::{Column, Format, PlotOptions, plot_dir};

const HEADER: &str = "source,guest,memory_mib,program,pages,seed,step_ns,steps,capture,interval_s,suspended_s,total_s,stored_bytes\n";

fn profile() -> CostProfile {
    let period = |us| revenant_core::quantity::Period(std::time::Duration::from_micros(us));
    CostProfile {
        hypervisor: HypervisorCosts {
            page_read: period(5),
            ..HypervisorCosts::default()
        },
        store: StoreCosts {
            page_hash: period(3),
            page_compress: period(20),
            ..StoreCosts::default()
        },
        system: SystemMemory {
            pages: 900,
            used_pages: 300,
            distinct_pages: 250,
            page_entropy: revenant_core::quantity::Size { bytes: 1000 },
            hot_pages: 20,
            changing_pages: 10,
            writes_per_s: 100,
        },
        ..CostProfile::default()
    }
}

fn climbed(rows: &str) -> Result<(Vec<Row>, tempfile::TempDir), LadderError> {
    let folder = tempfile::tempdir().unwrap();
    let measured = folder.path().join("measured.csv");
    fs::write(&measured, format!("{HEADER}{rows}")).unwrap();
    let (_, rows) = climb(&measured, &profile(), folder.path(), &mut |_, _| {})?;
    Ok((rows, folder))
}

const ROWS: &str = "measured,a,4,hot-set,64,7,1000,3000000,full,0,0.05,1.0,300000\n\
                    measured,a,4,hot-set,64,7,1000,3000000,increment,2.5,0.05,0.5,200000\n";

#[test]
fn predictions_follow_their_rows_and_are_the_same_again() {
    let (rows, folder) = climbed(ROWS).unwrap();
    let sources: Vec<Source> = rows.iter().map(|row| row.source).collect();
    assert_eq!(
        sources,
        [
            Source::Measured,
            Source::Predicted,
            Source::Measured,
            Source::Predicted
        ]
    );
    let (full, increment) = (&rows[1], &rows[3]);
    // 250 pages of which 1,000 bytes do not compress, and 64 of the program's that do not at all, once a round.
    assert!((512_000..1_200_000).contains(&full.stored_bytes), "{full:?}");
    assert!(
        increment.stored_bytes + 240_000 < full.stored_bytes,
        "{increment:?}"
    );
    // 50 ms to suspend, and 250 + 64 pages to compress.
    assert!((0.056..0.1).contains(&full.total_s), "{full:?}");
    assert!(increment.total_s < full.total_s);
    // From its own table, with the predicted rows in it.
    let table = folder.path().join(LADDER);
    let again = tempfile::tempdir().unwrap();
    climb(&table, &profile(), again.path(), &mut |_, _| {}).unwrap();
    assert_eq!(
        fs::read(&table).unwrap(),
        fs::read(again.path().join(LADDER)).unwrap()
    );
    let options = PlotOptions {
        formats: vec![Format::Svg],
        column: Column::One,
    };
    let figures = plot_dir(folder.path(), &options).unwrap();
    assert_eq!(figures.len(), 2);
    assert!(
        fs::read_to_string(&figures[1])
            .unwrap()
            .contains("n = 2 checkpoints")
    );
}

#[test]
fn rows_that_no_guest_has_are_refused_by_line_and_column() {
    for (wrong, said) in [
        (
            ROWS.replace(",4,hot-set", ",0,hot-set"),
            "line 2, column `memory_mib`",
        ),
        (ROWS.replace(",64,7", ",99999,7"), "line 2, column `pages`"),
        (
            ROWS.replace("increment,2.5", "increment,0"),
            "line 3, column `interval_s`",
        ),
        (
            ROWS.replace("increment,2.5", "increment,3.5"),
            "line 3, column `interval_s`",
        ),
        (ROWS.replace("full,0,", "full,1,"), "line 2, column `interval_s`"),
        (
            ROWS.replace("0.5,200000", "NaN,200000"),
            "line 3, column `total_s`",
        ),
        (String::new(), "has no rows"),
    ] {
        let error = climbed(&wrong).unwrap_err().to_string();
        assert!(error.contains(said), "{wrong}: {error}");
    }
}
