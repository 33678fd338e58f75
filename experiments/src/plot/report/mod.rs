//! One page about a run: figures, tables, where it comes from and how to make it again, in a single HTML file that asks for
//! nothing from anywhere.

mod table;

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::draw::font::Face;
use super::draw::svg;
use super::figure::{Figure, timeline};
use super::write::Folder;
use super::{Column, PlotError, data, figures_of};
use crate::run::{self, MANIFEST, PAIRED, SPEC, SUMMARY, THEORY};
use table::{Sheet, sheet};

/// The page, in the folder of its run.
pub const REPORT: &str = "report.html";

const STYLE: &str = include_str!("style.css");

/// Writes [`REPORT`] from the tables, histograms, replays and manifest of a run's folder, and gives its path.
pub fn report_dir(dir: &Path) -> Result<PathBuf, PlotError> {
    let face = Face::new();
    let mut figures = figures_of(dir, Column::One, false)?;
    for replay in data::replays(dir)? {
        figures.push(timeline::figure(
            &data::read_timeline(&replay)?,
            Column::One,
            &face,
        ));
    }
    let manifest = match read_if_there(&dir.join(MANIFEST))? {
        Some(bytes) => Some(serde_json::from_slice(&bytes).map_err(|source| PlotError::Json {
            path: dir.join(MANIFEST),
            source,
        })?),
        None => None,
    };
    let page = Page {
        // A manifest that is none of ours tells nothing of the files.
        damaged: run::damaged(dir).unwrap_or_default(),
        manifest,
        spec: read_if_there(&dir.join(SPEC))?,
        figures,
        summary: sheet(&dir.join(SUMMARY), table::SUMMARY_COLUMNS, |_| true)?,
        paired: sheet(&dir.join(PAIRED), table::PAIRED_COLUMNS, |_| true)?,
        // The dense curves are in the figures.
        theory: sheet(&dir.join(THEORY), table::THEORY_COLUMNS, |curve| {
            curve != "expected"
        })?,
    };
    Folder::create(dir.to_owned())?.write(REPORT, page.html().as_bytes())
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, PlotError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(PlotError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

struct Page {
    manifest: Option<Value>,
    /// Files that are not what the manifest says.
    damaged: Vec<String>,
    spec: Option<Vec<u8>>,
    figures: Vec<Figure>,
    summary: Option<Sheet>,
    paired: Option<Sheet>,
    theory: Option<Sheet>,
}

impl Page {
    fn html(&self) -> String {
        let name = self
            .fact(&["experiment"])
            .unwrap_or_else(|| "Experiment".to_owned());
        let mut html = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
             <meta name=\"color-scheme\" content=\"light dark\"/>\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n\
             <title>{0}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<header>\n<h1>{0}</h1>\n",
            escaped(&name)
        );
        if let Some(question) = self.fact(&["question"]).filter(|text| !text.is_empty()) {
            let _ = writeln!(html, "<p class=\"question\">{}</p>", escaped(&question));
        }
        let parts = self.parts();
        html.push_str("</header>\n<nav aria-label=\"Contents\"><ul>\n");
        for (id, title, _) in &parts {
            let _ = writeln!(html, "<li><a href=\"#{id}\">{title}</a></li>");
        }
        html.push_str("</ul></nav>\n<main>\n");
        for (id, title, content) in &parts {
            let _ = writeln!(
                html,
                "<section id=\"{id}\" aria-labelledby=\"{id}-title\">\n<h2 id=\"{id}-title\">{title}</h2>\n{content}</section>"
            );
        }
        html.push_str("</main>\n</body>\n</html>\n");
        html
    }

    /// Sections with something to say: name, title, content.
    fn parts(&self) -> Vec<(&'static str, &'static str, String)> {
        let table = |sheet: &Option<Sheet>, caption: &str| {
            sheet.as_ref().map_or(String::new(), |sheet| sheet.html(caption))
        };
        let all = [
            ("warnings", "Warnings", self.warnings()),
            ("figures", "Figures", self.figures()),
            (
                "summary",
                "Summary",
                table(
                    &self.summary,
                    "Means over the trials of a cell, with 95 % confidence intervals. Source: summary.csv.",
                ),
            ),
            (
                "paired",
                "Comparisons",
                table(
                    &self.paired,
                    "Makespan against the baseline, trial by trial under the same failures, with 95 % confidence intervals. \
                     Source: paired.csv.",
                ),
            ),
            (
                "theory",
                "Theory",
                table(
                    &self.theory,
                    "Closed forms at the intervals that policies choose (exponential failures). Source: theory.csv.",
                ),
            ),
            ("reproduce", "How to make it again", self.reproduce()),
            ("manifest", "Where it comes from", self.provenance()),
        ];
        all.into_iter()
            .filter(|(_, _, content)| !content.is_empty())
            .collect()
    }

    fn warnings(&self) -> String {
        let said = self
            .manifest
            .as_ref()
            .and_then(|manifest| manifest.get("warnings")?.as_array())
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        let mut warnings: Vec<String> = said.map(str::to_owned).collect();
        if let Some(status) = self.fact(&["status"]).filter(|status| status != "complete") {
            warnings.push(format!("the run is not complete: {status}"));
        }
        for name in &self.damaged {
            warnings.push(format!(
                "{name} is not what the manifest says: what is shown here may be wrong"
            ));
        }
        if self.fact(&["dirty"]).as_deref() == Some("true") {
            warnings
                .push("the program was built from sources that were changed after the revision".to_owned());
        }
        if self.manifest.is_none() {
            warnings.push("there is no manifest.json: seed, revision and costs are not known".to_owned());
        }
        if warnings.is_empty() {
            return String::new();
        }
        let items = warnings
            .iter()
            .map(|warning| format!("<li>{}</li>\n", escaped(warning)));
        format!("<ul class=\"warnings\">\n{}</ul>\n", items.collect::<String>())
    }

    fn figures(&self) -> String {
        let mut html = String::new();
        for figure in &self.figures {
            let drawing = svg::render(&figure.scene);
            let drawing = drawing
                .split_once("?>\n")
                .map_or(drawing.as_str(), |(_, rest)| rest);
            let _ = writeln!(
                html,
                "<figure>\n<div class=\"paper\">\n{drawing}</div>\n<figcaption>"
            );
            // The last line tells how to draw it; the page has a section for that.
            for line in figure
                .caption
                .lines()
                .filter(|line| !line.starts_with("Regenerate:"))
            {
                let _ = writeln!(html, "<p>{}</p>", escaped(line));
            }
            html.push_str("</figcaption>\n</figure>\n");
        }
        html
    }

    fn reproduce(&self) -> String {
        let words = self
            .manifest
            .as_ref()
            .and_then(|manifest| manifest.get("command")?.as_array());
        let mut html = String::new();
        if let Some(words) = words {
            let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
            let _ = writeln!(
                html,
                "<pre tabindex=\"0\"><code>{}</code></pre>",
                escaped(&words.join(" "))
            );
        }
        let facts = [
            ("Seed", self.fact(&["identity", "seed"])),
            ("Version", self.fact(&["identity", "version"])),
            ("Revision", self.fact(&["identity", "revision"])),
        ];
        html.push_str(&definitions(&facts));
        html.push_str(
            "<p>The same spec, seed and revision give the same tables, byte for byte, on any number of threads. The figures: \
             <code>revenant plot DIR</code>; this page: <code>revenant report DIR</code>.</p>\n",
        );
        if let Some(spec) = &self.spec {
            let _ = writeln!(
                html,
                "<details><summary>The spec</summary>\n<pre tabindex=\"0\"><code>{}</code></pre>\n</details>",
                escaped(&String::from_utf8_lossy(spec))
            );
        }
        html
    }

    fn provenance(&self) -> String {
        let Some(manifest) = &self.manifest else {
            return String::new();
        };
        let facts = [
            ("Status", self.fact(&["status"])),
            ("Started", self.fact(&["started"])),
            ("Stopped", self.fact(&["stopped"])),
            ("Compiler", self.fact(&["rustc"])),
            ("Host", self.fact(&["host_os"])),
            ("Cells", self.fact(&["counts", "cells"])),
            ("Trials", self.fact(&["counts", "trials_done"])),
            ("Trials given up", self.fact(&["counts", "given_up"])),
            ("Failures", self.fact(&["counts", "failures"])),
        ];
        let text = serde_json::to_string_pretty(manifest).expect("a value is plain data");
        format!(
            "{}<details><summary>The whole manifest, with the BLAKE3 of every output</summary>\n\
             <pre tabindex=\"0\"><code>{}</code></pre>\n</details>\n",
            definitions(&facts),
            escaped(&text)
        )
    }

    /// A value of the manifest as text.
    fn fact(&self, path: &[&str]) -> Option<String> {
        let mut value = self.manifest.as_ref()?;
        for key in path {
            value = value.get(key)?;
        }
        match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(flag) => Some(flag.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

fn definitions(facts: &[(&str, Option<String>)]) -> String {
    let mut html = String::from("<dl>\n");
    for (name, value) in facts {
        if let Some(value) = value {
            let _ = writeln!(html, "<div><dt>{name}</dt><dd>{}</dd></div>", escaped(value));
        }
    }
    html.push_str("</dl>\n");
    html
}

/// For text and for attributes in double quotes.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut all, sign| {
        match sign {
            '&' => all.push_str("&amp;"),
            '<' => all.push_str("&lt;"),
            '>' => all.push_str("&gt;"),
            '"' => all.push_str("&quot;"),
            '\'' => all.push_str("&#39;"),
            '\n' | '\t' => all.push(sign),
            control if control.is_control() => all.push('\u{fffd}'),
            other => all.push(other),
        }
        all
    })
}

#[cfg(test)]
mod tests;
