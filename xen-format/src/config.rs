//! The one thing this crate reads in a domain configuration.

use serde::Deserialize;

/// Configurations are a few KiB; a longer one is kept but not looked into.
const CONFIG_BYTES_MAX: usize = 1 << 20;
const NAME_BYTES_MAX: usize = 200;

#[derive(Deserialize)]
struct Config {
    c_info: CreateInfo,
}

#[derive(Deserialize)]
struct CreateInfo {
    name: String,
}

/// The domain's name (`c_info.name`) in a JSON configuration, if it has a usable one.
pub fn guest_name(config: &[u8]) -> Option<String> {
    // xl ends the text with a NUL.
    let text = config.strip_suffix(&[0]).unwrap_or(config);
    let config: Config = serde_json::from_slice(text.get(..CONFIG_BYTES_MAX.min(text.len()))?).ok()?;
    let name = config.c_info.name;
    let usable = !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.contains(char::is_control);
    usable.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_name_where_there_is_one() {
        let config = |text: &str| guest_name(text.as_bytes());
        assert_eq!(
            config("{\"b_info\": {\"name\": 3}, \"c_info\": {\"x\": [], \"name\": \"pv1\"}}\n\0").as_deref(),
            Some("pv1")
        );
        for nameless in [
            "",
            "{}",
            "{\"c_info\": {\"name\": 7}}",
            "{\"c_info\": {\"name\": \"a\\u0007\"}}",
            "{\"c_info\": {\"name\": \"\"}}",
        ] {
            assert_eq!(config(nameless), None, "{nameless}");
        }
    }
}
