//! Precedence, suggestions, ranges, and the generated page.

use super::{KEYS, Origin, Settings, markdown};

fn fails(set: impl FnOnce(&mut Settings) -> Result<(), crate::cli::failure::Failure>) -> String {
    let mut settings = Settings::defaults();
    set(&mut settings).expect_err("refused").to_string()
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let mut settings = Settings::defaults();
    assert_eq!(settings.number("topic.num-partitions"), 1);
    settings
        .read_text("[topic]\nnum-partitions = 2\n", "file")
        .expect("file");
    assert_eq!(settings.number("topic.num-partitions"), 2);
    let variables = [("RAPIDMQ_TOPIC__NUM_PARTITIONS".to_owned(), "3".to_owned())];
    settings
        .read_environment(variables.into_iter())
        .expect("environment");
    assert_eq!(settings.number("topic.num-partitions"), 3);
    settings
        .set("topic.num-partitions", "4".to_owned(), Origin::Flag)
        .expect("flag");
    assert_eq!(settings.number("topic.num-partitions"), 4);
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_name() {
    let text = fails(|settings| settings.read_text("[topic]\nnum-partition = 2\n", "file"));
    assert!(
        text.contains("did you mean `topic.num-partitions`?"),
        "{text}"
    );
}

#[test]
fn a_value_outside_its_range_says_the_range() {
    let text = fails(|settings| settings.set("cores", "9999".to_owned(), Origin::Flag));
    assert!(text.contains("from 0 to 512"), "{text}");
}

#[test]
fn sizes_and_durations_have_units() {
    let mut settings = Settings::defaults();
    settings
        .set("storage.journal-size", "8MiB".to_owned(), Origin::Flag)
        .expect("size");
    assert_eq!(settings.number("storage.journal-size"), 8 << 20);
    settings
        .set("group.session-timeout-max", "1h".to_owned(), Origin::Flag)
        .expect("duration");
    assert_eq!(settings.number("group.session-timeout-max"), 3_600_000);
}

#[test]
fn a_size_that_follows_from_the_machine_is_auto_or_a_size() {
    let mut settings = Settings::defaults();
    assert_eq!(settings.text("storage.tail-memory"), "auto");
    let text = fails(|settings| settings.set("storage.tail-memory", "all".into(), Origin::Flag));
    assert!(text.contains("`auto`, or a size"), "{text}");
    settings
        .set("storage.tail-memory", "32MiB".to_owned(), Origin::Flag)
        .expect("size");
    assert_eq!(settings.number("storage.tail-memory"), 32 << 20);
}

#[test]
fn every_default_is_a_valid_value_and_every_name_is_unique() {
    for (index, key) in KEYS.iter().enumerate() {
        assert_eq!(key.kind.check(key.default), Ok(()), "{}", key.name);
        assert!(
            KEYS.iter()
                .skip(index + 1)
                .all(|other| other.name != key.name),
            "{}",
            key.name
        );
    }
}

#[test]
fn only_chosen_values_are_shown_as_static_broker_configs() {
    let mut settings = Settings::defaults();
    settings
        .set("topic.num-partitions", "4".to_owned(), Origin::File)
        .expect("set");
    assert_eq!(
        settings.kafka_values(),
        [("num.partitions".to_owned(), "4".to_owned())]
    );
}

#[test]
fn the_configuration_page_is_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let page = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(
        page,
        markdown(),
        "run: rapidmq config reference > docs/configuration.md"
    );
}
