//! A guest is found by its name, an id by its beginning; what could be both is refused, and there is a name for each.

use proptest::prelude::*;

use super::memory::MemoryMedium;
use super::support::*;
use crate::store::{CheckpointId, Store, StoreError};

fn commit(store: &Store, guest: &str, content: u32) -> CheckpointId {
    let mut staging = store.begin_as_named(new(guest, None)).unwrap();
    put(&mut staging, &[(0, 0, content)]).unwrap();
    staging.commit().unwrap().id
}

/// What a name is made of, an id being known.
fn any_name(id: String) -> impl Strategy<Value = String> {
    prop_oneof![
        // The beginning of the id, all of it, more than it; in capitals.
        (0..=64usize, any::<bool>()).prop_map(move |(len, upper)| {
            if upper {
                id[..len].to_uppercase()
            } else {
                id[..len].to_owned()
            }
        }),
        "[0-9a-f]{1,8}",
        "[0-9a-f]{64}",
        "[a-c~0-2]{0,5}",
        "[a-c]{1,2}~[0-9]{1,20}",
        Just(String::new()),
        "\\PC{0,12}",
        Just("n".repeat(4096)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn a_word_means_one_checkpoint_or_is_refused(
        seed in any::<u32>(),
        shapes in prop::collection::vec((any::<prop::sample::Index>(), 1..3usize), 1..6),
        pool in any::<[u8; 8]>().prop_flat_map(|bytes| {
            // The id of the first checkpoint depends on nothing but its content.
            let store = store_on(MemoryMedium::new(), options(0));
            let id = commit(&store, "other", u32::from_le_bytes(*bytes.first_chunk().unwrap()) | 1);
            prop::collection::vec(any_name(id.to_hex()), 8).prop_map(move |names| (bytes, names))
        }),
    ) {
        let (bytes, names) = pool;
        let store = store_on(MemoryMedium::new(), options(0));
        let first = commit(&store, "other", u32::from_le_bytes(*bytes.first_chunk().unwrap()) | 1);
        let mut guests: Vec<(String, Vec<CheckpointId>)> = vec![("other".to_owned(), vec![first])];
        for (name, count) in shapes {
            let name = name.get(&names).clone();
            let all: Vec<_> = (0..count).map(|i| commit(&store, &name, seed ^ u32::try_from(i).unwrap())).collect();
            match guests.iter_mut().find(|guest| guest.0 == name) {
                Some(guest) => guest.1.extend(all),
                None => guests.push((name, all)),
            }
        }
        let ids: Vec<CheckpointId> = guests.iter().flat_map(|guest| guest.1.clone()).collect();
        let newest_first = |name: &str| -> Vec<CheckpointId> {
            let found = guests.iter().find(|guest| guest.0 == name);
            found.map_or(Vec::new(), |guest| guest.1.iter().rev().copied().collect())
        };
        let mut words: Vec<String> = Vec::new();
        for (name, all) in &guests {
            words.push(name.clone());
            words.extend((0..=all.len()).map(|back| format!("{name}~{back}")));
            prop_assert_eq!(store.resolve(&format!("guest:{name}")).unwrap(), *all.last().unwrap(), "{:?}", name);
            prop_assert!(store.check_guest(name).is_ok());
        }
        for id in &ids {
            words.extend([1, 5, 6, 12, 63, 64].map(|len| id.to_hex()[..len].to_owned()));
            words.extend([6, 64].map(|len| id.to_hex()[..len].to_uppercase()));
            prop_assert_eq!(store.resolve(&format!("id:{}", id.to_hex())).unwrap(), *id);
        }
        for word in words.iter().filter(|word| !word.starts_with("id:") && !word.starts_with("guest:")) {
            let mut means: Vec<CheckpointId> = newest_first(word).into_iter().take(1).collect();
            let (guest, back) = word.rsplit_once('~').unwrap_or((word, ""));
            let before = newest_first(guest);
            means.extend(back.parse().ok().and_then(|back: usize| before.get(back)));
            let digits = word.to_lowercase();
            let by_digits = ids.iter().filter(|id| word.len() >= 6 && id.to_hex().starts_with(&digits));
            means.extend(by_digits);
            let is_one = means.windows(2).all(|pair| pair[0] == pair[1]);
            match store.resolve(word) {
                Ok(found) => prop_assert!(is_one && means.first() == Some(&found), "{:?}", word),
                Err(StoreError::Ambiguous { choices, .. }) => {
                    prop_assert!(!is_one, "{:?}", word);
                    prop_assert_eq!(choices.len(), means.len().min(9), "{:?}", word);
                }
                Err(StoreError::NoSuchName { .. } | StoreError::NotThatMany { .. }) => {
                    prop_assert!(means.is_empty(), "{:?}", word);
                }
                Err(other) => return Err(TestCaseError::fail(other.to_string())),
            }
        }
    }
}

#[test]
fn a_word_that_could_be_two_guests_or_a_guest_and_an_id_is_refused_with_a_name_for_each() {
    let store = store_on(MemoryMedium::new(), options(0));
    let old = commit(&store, "db", 1);
    let new = commit(&store, "db", 2);
    let lookalike = commit(&store, "db~1", 3);
    let refused = |word: &str| match store.resolve(word) {
        Err(StoreError::Ambiguous { choices, .. }) => choices,
        other => panic!("{other:?}"),
    };
    let choices = refused("db~1");
    let digits = format!("id:{}", &old.to_hex()[..12]);
    assert!(
        choices[0].starts_with("\"guest:db~1\" (its newest, "),
        "{choices:?}"
    );
    assert!(choices[1].starts_with(&digits), "{choices:?}");
    assert_eq!(store.resolve("guest:db~1").unwrap(), lookalike);
    assert_eq!(store.resolve(&digits).unwrap(), old);
    assert_eq!(store.resolve("db").unwrap(), new);
    let named_so = commit(&store, &old.to_hex(), 4);
    let choices = refused(&old.to_hex());
    assert_eq!(choices.len(), 2, "{choices:?}");
    assert_eq!(
        store.resolve(&format!("guest:{}", old.to_hex())).unwrap(),
        named_so
    );
    assert_eq!(store.resolve(&format!("id:{}", old.to_hex())).unwrap(), old);
    // What has one of the prefixes means what they say, and nothing else.
    commit(&store, "guest:web", 5);
    commit(&store, "id:123456", 6);
    for word in ["guest:web", "id:123456"] {
        assert!(store.resolve(word).is_err(), "{word}");
        assert!(store.resolve(&format!("guest:{word}")).is_ok(), "{word}");
    }
    let same = store_on(MemoryMedium::new(), options(0));
    let id = commit(&same, "x", 8).to_hex();
    assert_eq!(same.resolve(&id[..6]).unwrap().to_hex(), id);
    let Err(StoreError::NoSuchGuest { guests, .. }) = same.check_guest("y") else {
        panic!("there is no such guest");
    };
    assert_eq!(guests, ["\"x\""]);
}

#[test]
fn choices_are_told_apart() {
    // Manifests that do not read have names all the same.
    let medium = MemoryMedium::new();
    let store = store_on(medium.clone(), options(0));
    let id = commit(&store, "web", 1).to_hex();
    let twin = format!("{}{}", &id[..63], if id.ends_with('0') { '1' } else { '0' });
    medium.set(&format!("checkpoints/{twin}"), Vec::new());
    let Err(StoreError::Ambiguous { choices, .. }) = store.resolve(&id[..20]) else {
        panic!("two ids begin with these digits");
    };
    assert!(
        choices
            .iter()
            .any(|choice| choice.starts_with(&format!("id:{id}")) && choice.contains("web")),
        "{choices:?}"
    );
    assert!(
        choices
            .iter()
            .any(|choice| choice.starts_with(&format!("id:{twin}"))),
        "{choices:?}"
    );
    assert_eq!(store.resolve(&id.to_uppercase()).unwrap().to_hex(), id);
}
