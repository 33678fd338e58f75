//! The text form of a plan: `suspend#2=lose-guest-before; append#7=full; sync#1=delay:2s; read#3=flip:77; @12s=lose-host`.

use std::fmt;
use std::str::FromStr;

use revenant_core::quantity::Period;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};

use super::plan::{Call, CallFault, FaultPlan, Loss, TimedFault, Verdict, When};

/// The text is no fault plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{part:?} is no fault: {reason}")]
pub struct ParsePlanError {
    /// The part between two semicolons.
    pub part: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The name that serde gives it: one spelling everywhere.
        fmt::Display::fmt(&serde_name(*self), f)
    }
}

fn serde_name(call: Call) -> &'static str {
    match call {
        Call::Layout => "layout",
        Call::Suspend => "suspend",
        Call::Resume => "resume",
        Call::SetDirtyLog => "set-dirty-log",
        Call::TakeDirty => "take-dirty",
        Call::ReadPages => "read-pages",
        Call::Populate => "populate",
        Call::WritePages => "write-pages",
        Call::SaveState => "save-state",
        Call::LoadState => "load-state",
        Call::Create => "create",
        Call::Open => "open",
        Call::Read => "read",
        Call::Append => "append",
        Call::Sync => "sync",
        Call::List => "list",
        Call::Rename => "rename",
        Call::Remove => "remove",
        Call::SyncDir => "sync-dir",
        Call::Lock => "lock",
    }
}

fn loss_name(loss: Loss) -> &'static str {
    match loss {
        Loss::Guest => "lose-guest",
        Loss::Host => "lose-host",
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Fail => f.write_str("fail"),
            Verdict::Full => f.write_str("full"),
            Verdict::Lose(loss, When::Before) => write!(f, "{}-before", loss_name(*loss)),
            Verdict::Lose(loss, When::After) => write!(f, "{}-after", loss_name(*loss)),
            Verdict::Delay(by) => write!(f, "delay:{by}"),
            Verdict::Flip(bit) => write!(f, "flip:{bit}"),
            Verdict::Lie => f.write_str("lie"),
        }
    }
}

impl fmt::Display for FaultPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls = self
            .calls
            .iter()
            .map(|c| format!("{}#{}={}", c.call, c.nth, c.verdict));
        let times = self
            .times
            .iter()
            .map(|t| format!("@{}={}", t.at, loss_name(t.loss)));
        f.write_str(&calls.chain(times).collect::<Vec<_>>().join("; "))
    }
}

impl FromStr for FaultPlan {
    type Err = ParsePlanError;

    fn from_str(text: &str) -> Result<Self, ParsePlanError> {
        let mut plan = FaultPlan::default();
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            parse_part(part, &mut plan).map_err(|reason| ParsePlanError {
                part: part.to_owned(),
                reason,
            })?;
        }
        Ok(plan)
    }
}

fn parse_part(part: &str, plan: &mut FaultPlan) -> Result<(), &'static str> {
    let (place, what) = part
        .split_once('=')
        .ok_or("expected CALL#N=VERDICT or @TIME=LOSS")?;
    if let Some(at) = place.strip_prefix('@') {
        let at: Period = at.parse().map_err(|_| "expected a time such as @1h30min")?;
        let loss = parse_loss(what).ok_or("expected lose-guest or lose-host")?;
        plan.times.push(TimedFault { at, loss });
        return Ok(());
    }
    let (call, nth) = place
        .split_once('#')
        .ok_or("expected CALL#N before the equals sign")?;
    let name: StrDeserializer<'_, ValueError> = call.into_deserializer();
    let call = Call::deserialize(name).map_err(|_| "no such call")?;
    let nth: u32 = nth.parse().map_err(|_| "expected a number after #")?;
    if nth == 0 {
        return Err("calls are counted from 1");
    }
    let verdict = parse_verdict(what)?;
    if !verdict.fits(call) {
        return Err("this cannot happen to such a call");
    }
    plan.calls.push(CallFault { call, nth, verdict });
    Ok(())
}

fn parse_loss(text: &str) -> Option<Loss> {
    [Loss::Guest, Loss::Host]
        .into_iter()
        .find(|&loss| loss_name(loss) == text)
}

fn parse_verdict(text: &str) -> Result<Verdict, &'static str> {
    let lost = |suffix, when| {
        text.strip_suffix(suffix)
            .and_then(parse_loss)
            .map(|loss| Verdict::Lose(loss, when))
    };
    if let Some(verdict) = lost("-before", When::Before).or_else(|| lost("-after", When::After)) {
        return Ok(verdict);
    }
    match text.split_once(':') {
        Some(("delay", by)) => by
            .parse()
            .map(Verdict::Delay)
            .map_err(|_| "expected a time after delay:"),
        Some(("flip", bit)) => bit
            .parse()
            .map(Verdict::Flip)
            .map_err(|_| "expected a bit number after flip:"),
        _ => match text {
            "fail" => Ok(Verdict::Fail),
            "full" => Ok(Verdict::Full),
            "lie" => Ok(Verdict::Lie),
            _ => Err("expected fail, full, lie, delay:TIME, flip:BIT or lose-{guest,host}-{before,after}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;

    proptest! {
        #[test]
        fn a_plan_survives_text_and_json(seed in any::<u64>()) {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
            let plan = FaultPlan::random(&mut rng, 12, Duration::from_secs(100));
            prop_assert_eq!(plan.to_string().parse::<FaultPlan>().unwrap(), plan.clone());
            let json = serde_json::to_string(&plan).unwrap();
            prop_assert_eq!(serde_json::from_str::<FaultPlan>(&json).unwrap(), plan);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,80}") {
            let _ = text.parse::<FaultPlan>();
        }
    }

    #[test]
    fn refusals_name_the_part() {
        for text in [
            "suspend=fail",
            "nap#1=fail",
            "sync#0=fail",
            "sync#1=full",
            "@5=lose-host",
            "read#1=flip:x",
            "open#2=burn",
        ] {
            let error = text.parse::<FaultPlan>().unwrap_err();
            assert_eq!(error.part, text);
        }
    }
}
