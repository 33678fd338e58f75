//! What policies there are.

use anyhow::Result;
use revenant_core::policy::{POLICIES, Parameter, Preset};
use serde_json::{Value, json};

use crate::Outcome;
use crate::args::PoliciesArgs;
use crate::output::{print, print_json, table};

pub(crate) fn policies(args: &PoliciesArgs) -> Result<Outcome> {
    if args.json {
        let all: Vec<Value> = POLICIES
            .iter()
            .map(|kind| {
                json!({
                    "name": kind.name,
                    "interval": kind.formula,
                    "source": kind.source,
                    "parameters": kind.parameters.iter().map(described).collect::<Vec<_>>(),
                })
            })
            .collect();
        print_json(&Value::Array(all))?;
        return Ok(Outcome::Done);
    }
    let mut rows = Vec::new();
    let mut parameters = String::new();
    for kind in POLICIES {
        rows.push([kind.name, kind.formula, kind.source].map(str::to_owned).to_vec());
        for parameter in kind.parameters {
            let (least, most) = (parameter.show(parameter.least), parameter.show(parameter.most));
            parameters += &format!(
                "{}.{}: {}; {least} to {most}, {}\n",
                kind.name,
                parameter.name,
                parameter.about,
                preset(parameter)
            );
        }
    }
    let mut text = table(&["POLICY", "INTERVAL", "SOURCE"], &[], &rows);
    text.push_str("\nC, R: cost of a checkpoint and of a restart; M: mean time between failures; W: work of the job.\n\n");
    text.push_str(&parameters);
    print(&text)?;
    Ok(Outcome::Done)
}

fn preset(parameter: &Parameter) -> String {
    match parameter.preset {
        Preset::Required => "required".to_owned(),
        Preset::Value(value) => format!("default {}", parameter.show(value)),
        Preset::Derived(how) => format!("default {how}"),
    }
}

fn described(parameter: &Parameter) -> Value {
    json!({
        "name": parameter.name,
        "about": parameter.about,
        "least": parameter.show(parameter.least),
        "most": parameter.show(parameter.most),
        "default": match parameter.preset {
            Preset::Required => Value::Null,
            Preset::Value(value) => parameter.show(value).into(),
            Preset::Derived(how) => how.into(),
        },
    })
}
