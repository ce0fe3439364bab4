use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// Zones without daylight saving time, with it, with half an hour of it, and with clocks that are set back over midnight.
const ZONES: [&str; 5] = [
    "UTC0",
    "CET-1CEST,M3.5.0,M10.5.0/3",
    "EST5EDT,M3.2.0,M11.1.0",
    "LHST-10:30LHDT-11,M10.1.0,M4.1.0",
    "NST3:30NDT,M3.2.0/0:01,M11.1.0/0:01",
];

fn zone(text: &str) -> TimeZone {
    TimeZone::posix(text).expect("a zone")
}

fn rules(counts: &[(Period, usize)], within: Option<&str>, zone: TimeZone) -> Rules {
    Rules {
        counts: counts.to_vec(),
        within: within.map(|text| Age::parse(text).expect("an age")),
        ..Rules::of_days_in(zone)
    }
}

/// The name of the period that an instant is in, as text: another way to the same thing.
fn name(period: Period, instant: Timestamp, at: usize, zone: &TimeZone) -> String {
    let zoned = instant.to_zoned(zone.clone());
    let format = match period {
        Period::Last => return at.to_string(),
        Period::Quarterly => {
            let quarter = ["01", "04", "07", "10"]
                .into_iter()
                .rposition(|first| *first <= *zoned.strftime("%m").to_string());
            return format!("{} {quarter:?}", zoned.strftime("%Y"));
        }
        Period::Hourly => "%Y-%m-%d %H %z",
        Period::Daily => "%Y-%m-%d",
        Period::Weekly => "%G week %V",
        Period::Monthly => "%Y-%m",
        Period::Yearly => "%Y",
    };
    zoned.strftime(format).to_string()
}

/// Which snapshots a rule keeps, by trying for each whether it is the last of its period, and counting the later periods.
fn kept_by_brute_force(
    times: &[Timestamp],
    period: Period,
    count: usize,
    zone: &TimeZone,
) -> BTreeSet<usize> {
    let name = |at: usize| name(period, times[at], at, zone);
    let is_later = |a: usize, b: usize| (times[a], a) > (times[b], b);
    let all = 0..times.len();
    let is_last = |at: usize| {
        !all.clone()
            .any(|other| is_later(other, at) && name(other) == name(at))
    };
    let mut kept = BTreeSet::new();
    for at in all.clone().filter(|&at| is_last(at)) {
        let later = all
            .clone()
            .filter(|&other| is_last(other) && is_later(other, at));
        if later.count() < count {
            kept.insert(at);
        }
    }
    let periods: BTreeSet<_> = all.clone().map(name).collect();
    if periods.len() < count {
        let oldest = all
            .clone()
            .find(|&at| !all.clone().any(|other| is_later(at, other)));
        kept.extend(oldest);
    }
    kept
}

fn instants() -> impl Strategy<Value = Vec<Timestamp>> {
    // Two years around a leap day, dense around changes of the clock; and wild ones.
    let anywhere = 1_682_899_200_i64..1_746_057_600;
    let near = |at: i64| at - 9000..at + 9000;
    let changes = prop_oneof![
        near(1_698_541_200),
        near(1_711_846_800),
        near(1_699_160_400),
        near(1_709_164_800),
        near(1_709_251_200),
        near(1_704_067_200),
        near(1_699_151_460),
    ];
    let wild = prop_oneof![Just(0), -9_000_000_000_i64..99_000_000_000];
    let second = prop_oneof![6 => anywhere, 6 => changes, 1 => wild];
    let instant = second.prop_map(|s| Timestamp::from_second(s).expect("in range"));
    prop::collection::vec(instant, 0..60)
}

fn periods() -> impl Strategy<Value = Vec<(Period, usize)>> {
    let counts = prop::collection::vec(prop_oneof![0_usize..8, Just(usize::MAX)], 7);
    let chosen = prop::collection::vec(any::<bool>(), 7);
    (counts, chosen).prop_map(|(counts, chosen)| {
        let all = Period::ALL.into_iter().zip(counts).zip(chosen);
        all.filter(|(_, is_chosen)| *is_chosen)
            .map(|(rule, _)| rule)
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn rules_keep_what_brute_force_keeps(times in instants(), counts in periods(), at in 0_usize..ZONES.len()) {
        let zone = zone(ZONES[at]);
        let kept = keepers(&times, &rules(&counts, None, zone.clone()));
        for (period, count) in counts {
            let is_of = |keeper: &Keeper| *keeper == Keeper::Latest(period) || *keeper == Keeper::Oldest(period);
            let of_rule: BTreeSet<_> = (0..times.len()).filter(|&at| kept[at].iter().any(is_of)).collect();
            prop_assert_eq!(of_rule, kept_by_brute_force(&times, period, count, &zone), "{} {}", period, count);
        }
    }

    #[test]
    fn within_keeps_what_is_as_young(times in instants(), days in 0_i64..900, at in 0_usize..ZONES.len()) {
        let zone = zone(ZONES[at]);
        let kept = keepers(&times, &rules(&[], Some(&format!("{days}d")), zone));
        let latest = times.iter().max();
        for (time, kept) in times.iter().zip(kept) {
            let age = latest.expect("there is one").as_second() - time.as_second();
            // A day with a change of the clock has an hour more or less.
            if (age - days * 86_400).abs() > 3600 {
                prop_assert_eq!(kept == [Keeper::Within], age < days * 86_400);
            }
        }
    }
}

fn kept(times: &[&str], counts: &[(Period, usize)], within: Option<&str>) -> Vec<String> {
    let instants: Vec<Timestamp> = times.iter().map(|t| t.parse().expect("a time")).collect();
    let berlin = zone(ZONES[1]);
    let kept = keepers(&instants, &rules(counts, within, berlin));
    let told = times.iter().zip(kept).filter(|(_, kept)| !kept.is_empty());
    told.map(|(time, kept)| {
        let kept: Vec<_> = kept.iter().map(ToString::to_string).collect();
        format!("{} {}", &time[5..13], kept.join(" "))
    })
    .collect()
}

#[test]
fn days_without_a_snapshot_do_not_count() {
    let times = [
        "2026-01-01T10:00:00Z",
        "2026-03-01T10:00:00Z",
        "2026-09-05T10:00:00Z",
        "2026-11-21T09:00:00Z",
        "2026-11-21T10:00:00Z",
    ];
    assert_eq!(
        kept(&times, &[(Period::Daily, 3)], None),
        ["03-01T10 daily", "09-05T10 daily", "11-21T10 daily"]
    );
}

#[test]
fn the_oldest_stays_while_a_rule_reaches_further() {
    let times = [
        "2026-11-20T08:00:00Z",
        "2026-11-20T09:00:00Z",
        "2026-11-21T10:00:00Z",
    ];
    let daily = |count| kept(&times, &[(Period::Daily, count)], None);
    assert_eq!(daily(2), ["11-20T09 daily", "11-21T10 daily"]);
    assert_eq!(
        daily(3),
        ["11-20T08 oldest daily", "11-20T09 daily", "11-21T10 daily"]
    );
    assert_eq!(daily(0), [""; 0]);
}

#[test]
fn rules_add_up() {
    let times = [
        "2025-12-31T22:59:59Z",
        "2025-12-31T23:00:00Z",
        "2026-02-01T00:00:00Z",
        "2026-02-02T00:00:00Z",
    ];
    // The second is in 2026 where the clocks are an hour ahead.
    let counts = [(Period::Last, 1), (Period::Yearly, 2)];
    assert_eq!(
        kept(&times, &counts, Some("1d")),
        [
            "12-31T22 yearly",
            "02-01T00 within",
            "02-02T00 last yearly within"
        ]
    );
}

#[test]
fn both_hours_of_one_name_count_when_clocks_are_set_back() {
    let times = ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"];
    let counts = [(Period::Hourly, 2)];
    assert_eq!(kept(&times, &counts, None).len(), 2);
}

#[test]
fn weeks_begin_on_monday_and_belong_to_one_year() {
    // Monday 2024-12-30 to Sunday 2025-01-05 are one week.
    let times = [
        "2024-12-29T12:00:00Z",
        "2024-12-30T12:00:00Z",
        "2025-01-05T12:00:00Z",
    ];
    assert_eq!(
        kept(&times, &[(Period::Weekly, 2)], None),
        ["12-29T12 weekly", "01-05T12 weekly"]
    );
}

#[test]
fn a_month_before_the_end_of_march_is_the_leap_day() {
    let times = [
        "2024-02-29T10:59:59Z",
        "2024-02-29T11:00:00Z",
        "2024-03-31T10:00:00Z",
    ];
    // Ten o'clock UTC is twelve in summer, which had begun.
    assert_eq!(
        kept(&times, &[], Some("1mo")),
        ["02-29T11 within", "03-31T10 within"]
    );
}
