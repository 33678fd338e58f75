//! What this crate reads in a domain's configuration: who the guest is.

use std::borrow::Cow;
use std::fmt;

use revenant_core::store::{GuestNameFault, check_guest_name};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The names a configuration gives its guest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// `c_info.name`, or libvirt's `name`.
    pub name: Option<String>,
    /// `c_info.uuid`, or libvirt's `uuid`.
    pub uuid: Option<String>,
}

/// What to call a guest, and what of its configuration did not serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuestName {
    /// The caller's, or that of the configuration.
    Given(String),
    /// Its UUID, since its name is none for a checkpoint.
    Uuid {
        /// The UUID.
        uuid: String,
        /// What is wrong with the name; `None` if there is none.
        fault: Option<GuestNameFault>,
    },
    /// Nothing tells: [`UNNAMED`].
    Unknown,
}

/// A guest's name when neither the file nor the caller tells one.
pub const UNNAMED: &str = "unnamed";

impl Identity {
    /// Reads libxl's JSON as far as it goes. Of a key that comes twice the first counts, as for libxl; what is not
    /// UTF-8 is taken for Latin-1, in which xl passes on names from old configuration files.
    pub fn of_json(config: &[u8]) -> Identity {
        // xl ends the text with a NUL.
        let text = decoded(config.strip_suffix(&[0]).unwrap_or(config));
        let mut found = Identity::default();
        let mut reader = serde_json::Deserializer::from_str(&text);
        // What was read before an error is read.
        let _ = reader.deserialize_any(Root(&mut found));
        found
    }

    /// Reads libvirt's domain XML: the first `name` and `uuid` elements, which are the domain's.
    pub fn of_libvirt_xml(xml: &[u8]) -> Identity {
        let text = decoded(xml);
        let field = |tag| element(&text, tag).map(|found| unescaped(found.trim()));
        Identity {
            name: field("name"),
            uuid: field("uuid"),
        }
    }

    /// What the guest is to be called.
    pub fn guest_name(self) -> GuestName {
        let fault = match self.name.as_deref().map(check_guest_name) {
            Some(Ok(())) => return GuestName::Given(self.name.unwrap_or_default()),
            Some(Err(fault)) => Some(fault),
            None => None,
        };
        match self.uuid.filter(|uuid| is_uuid(uuid)) {
            Some(uuid) => GuestName::Uuid {
                uuid: uuid.to_ascii_lowercase(),
                fault,
            },
            None => GuestName::Unknown,
        }
    }
}

impl GuestName {
    /// The name for the catalogue.
    pub fn text(&self) -> &str {
        match self {
            GuestName::Given(name) => name,
            GuestName::Uuid { uuid, .. } => uuid,
            GuestName::Unknown => UNNAMED,
        }
    }
}

/// 8-4-4-4-12 hexadecimal digits, and not all of them zero: that is nobody's.
fn is_uuid(text: &str) -> bool {
    let dashes = [8, 13, 18, 23];
    let fine = |(i, c): (usize, char)| {
        if dashes.contains(&i) {
            c == '-'
        } else {
            c.is_ascii_hexdigit()
        }
    };
    text.len() == 36 && text.char_indices().all(fine) && text.contains(|c| !matches!(c, '0' | '-'))
}

fn decoded(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|&byte| char::from(byte)));
    }
    Cow::Owned(text)
}

fn element<'a>(text: &'a str, tag: &str) -> Option<&'a str> {
    let begin = text.find(&format!("<{tag}>"))? + tag.len() + 2;
    let len = text[begin..].find(&format!("</{tag}>"))?;
    Some(&text[begin..begin + len])
}

/// The five entities that XML has by itself; `&amp;` last, so that it makes no other.
fn unescaped(text: &str) -> String {
    let entities = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&amp;", "&"),
    ];
    entities
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// The outermost object: `c_info` is looked into, the rest passed over.
struct Root<'a>(&'a mut Identity);

impl<'de> Visitor<'de> for Root<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a domain configuration")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == "c_info" {
                map.next_value_seed(CreateInfo(self.0))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

struct CreateInfo<'a>(&'a mut Identity);

impl<'de> DeserializeSeed<'de> for CreateInfo<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for CreateInfo<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a domain's create info")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            let field = match key.as_str() {
                "name" => &mut self.0.name,
                "uuid" => &mut self.0.uuid,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            let Text(found) = map.next_value()?;
            if field.is_none() {
                *field = found;
            }
        }
        Ok(())
    }
}

/// A string; `None` for any other value, of which nothing is kept.
struct Text(Option<String>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor).map(Text)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "3f9c0001-aaaa-4bbb-8ccc-0123456789ab";

    fn named(config: &[u8]) -> GuestName {
        Identity::of_json(config).guest_name()
    }

    fn given(name: &str) -> GuestName {
        GuestName::Given(name.to_owned())
    }

    #[test]
    fn the_name_is_taken_wherever_there_is_one() {
        let long = format!(
            "{{\"x\": \"{}\", \"c_info\": {{\"name\": \"big\"}}}}",
            "y".repeat(3 << 20)
        );
        for (config, name) in [
            (
                &b"{\"b_info\": {\"name\": 3}, \"c_info\": {\"x\": [], \"name\": \"pv1\"}}\n\0"[..],
                "pv1",
            ),
            (long.as_bytes(), "big"),
            (
                b"{\"c_info\": {\"name\": \"first\"}, \"c_info\": {\"name\": \"second\"}}",
                "first",
            ),
            (b"{\"c_info\": {\"name\": 1, \"name\": \"text\"}}", "text"),
            (b"{\"c_info\": {\"name\": \"caf\xe9\"}}", "caf\u{e9}"),
            (b"{\"c_info\": {\"name\": \"cut\"}, \"b_info\": {\"x\": ", "cut"),
            (b"{\"c_info\": {\"name\": \"../two words\"}}", "../two words"),
        ] {
            assert_eq!(named(config), given(name));
        }
    }

    #[test]
    fn without_a_usable_name_the_uuid_serves() {
        let config = |name: &str, uuid: &str| {
            named(format!("{{\"c_info\": {{\"name\": {name}, \"uuid\": {uuid:?}}}}}").as_bytes())
        };
        let long = format!("{:?}", "x".repeat(201));
        for (name, fault) in [
            ("7", None),
            ("{\"a\": [1]}", None),
            ("null", None),
            ("\"\"", Some(GuestNameFault::Blank)),
            ("\"a\\u0007\"", Some(GuestNameFault::Control('\u{7}'))),
            (&long, Some(GuestNameFault::TooLong(201))),
        ] {
            let uuid = UUID.to_owned();
            assert_eq!(
                config(name, &UUID.to_uppercase()),
                GuestName::Uuid { uuid, fault }
            );
            for none in [
                "",
                "x",
                "00000000-0000-0000-0000-000000000000",
                "3f9c0001-aaaa-4bbb-8ccc-0123456789a\u{1b}",
            ] {
                assert_eq!(config(name, none), GuestName::Unknown);
            }
        }
        for nobody in [
            "",
            "{}",
            "[]",
            "{\"c_info\": 7}",
            "{\"c_info\": {}}",
            "\"c_info\"",
        ] {
            assert_eq!(named(nobody.as_bytes()), GuestName::Unknown, "{nobody}");
        }
    }

    #[test]
    fn libvirt_names_its_domain_too() {
        let xml = format!(
            "<domain type='xen'>\n  <name>a&lt;b&amp;lt;</name>\n  <uuid>{UUID}</uuid>\n<metadata><name>no</name></metadata></domain>"
        );
        let found = Identity::of_libvirt_xml(xml.as_bytes());
        assert_eq!(found.uuid.as_deref(), Some(UUID));
        assert_eq!(found.guest_name(), given("a<b&lt;"));
        assert_eq!(
            Identity::of_libvirt_xml(b"<name>a").guest_name(),
            GuestName::Unknown
        );
    }
}
