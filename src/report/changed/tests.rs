use super::*;

fn tell(threshold_bytes: u64, added: &[(&str, u64)]) -> (Vec<(String, u64)>, u64) {
    let mut tree = Tree::new(threshold_bytes);
    for &(directory, new_bytes) in added {
        let sums = Sums {
            new_bytes,
            added: 1,
            ..Sums::default()
        };
        tree.add(directory.as_bytes(), sums);
    }
    let (rows, rest, total) = tree.finish(ROWS);
    let of_rows: u64 = rows.iter().map(|row| row.sums.new_bytes).sum();
    assert_eq!(
        of_rows + rest.new_bytes,
        total.new_bytes,
        "nothing is lost or counted twice"
    );
    let shown = |row: Row| {
        (
            String::from_utf8_lossy(&row.directory).into_owned(),
            row.sums.new_bytes,
        )
    };
    (rows.into_iter().map(shown).collect(), rest.new_bytes)
}

#[test]
fn small_sums_go_up_until_they_are_worth_a_row() {
    let row = |directory: &str, bytes| (directory.to_owned(), bytes);
    let added = [
        (".", 1),
        ("a", 1),
        ("a/b/c", 4),
        ("a/b/d", 5),
        ("a/b/e/f/g", 90),
        ("a/b2", 2),
        ("a", 3),
        ("z", 9),
    ];
    let (rows, rest) = tell(10, &added);
    assert_eq!(rows, [row("a/b/e/f/g", 90), row("a", 15)]);
    assert_eq!(rest, 10, "the top, and z");
    assert_eq!(
        tell(9, &added).0,
        [row("a/b/e/f/g", 90), row("a/b", 9), row("z", 9)]
    );
    assert_eq!(tell(1, &[]), (vec![], 0));
}

#[test]
fn rows_that_turn_out_too_small_go_further_up() {
    let mut tree = Tree::new(1);
    for (directory, new_bytes) in [
        ("a/b/c", 1),
        ("a/b/d", 1),
        ("a/e", 30),
        ("a-", 1),
        ("z", 60),
    ] {
        let sums = Sums {
            new_bytes,
            changed: 1,
            ..Sums::default()
        };
        tree.add(directory.as_bytes(), sums);
    }
    let (rows, rest, total) = tree.coarser().finish(ROWS);
    let rows: Vec<_> = rows
        .iter()
        .map(|row| (row.directory.as_slice(), row.sums.new_bytes))
        .collect();
    let wanted: [(&[u8], u64); 3] = [(b"z", 60), (b"a/e", 30), (b"a/b", 2)];
    assert_eq!(rows, wanted);
    assert_eq!((rest.new_bytes, total.new_bytes, total.changed), (1, 93, 5));
}

#[test]
fn rows_are_bounded_and_the_largest_stay() {
    let names: Vec<_> = (0..2000_u64).map(|n| (format!("{n:04}"), n)).collect();
    let added: Vec<_> = names.iter().map(|(name, n)| (name.as_str(), *n)).collect();
    let (rows, _) = tell(1, &added);
    let bytes: Vec<_> = rows.iter().map(|(_, bytes)| *bytes).collect();
    assert_eq!(bytes, (1985..2000).rev().collect::<Vec<_>>());
}

#[test]
fn a_path_of_many_directories_takes_memory_for_its_length_only() {
    let deep = vec!["d"; 200_000].join("/");
    let (rows, rest) = tell(10, &[(&deep, 11), ("e", 1)]);
    assert_eq!((rows.len(), rest), (1, 1));
}
