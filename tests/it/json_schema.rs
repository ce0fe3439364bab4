//! `--json`: every line that any command prints is what docs/json-schema.json says, every type and field of it is printed by some run,
//! and docs/json.md lists exactly those.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::{Map, Value};

use crate::harness::{Ended, Place, is_root, project};

/// The schema, and which of its fields have been seen.
struct Schema {
    definitions: Map<String, Value>,
    seen: BTreeMap<String, BTreeSet<String>>,
}

impl Schema {
    fn read() -> Self {
        let text = fs::read_to_string(project("docs/json-schema.json")).expect("is read");
        let schema: Value = serde_json::from_str(&text).expect("is JSON");
        let definitions = schema["$defs"].as_object().expect("definitions").clone();
        let listed = schema["oneOf"].as_array().expect("a list");
        let listed = listed
            .iter()
            .map(|entry| entry["$ref"].as_str().expect("a reference"));
        let listed: BTreeSet<_> = listed
            .map(|name| name["#/$defs/".len()..].replace("%20", " "))
            .collect();
        assert_eq!(listed, definitions.keys().cloned().collect());
        Self {
            definitions,
            seen: BTreeMap::new(),
        }
    }

    /// Fails unless all that a run printed fits; a run that went through ends with a summary, any other one with an error.
    fn check(&mut self, ended: &Ended) {
        let mut last = Value::Null;
        for line in ended.stdout.lines() {
            let object: Value = serde_json::from_str(line).expect("each line is JSON");
            let mut name = object["type"].as_str().expect("a type").to_owned();
            if name == "summary" {
                let command = object["command"].as_str().expect("a command");
                name = format!("summary of {command}");
            }
            let definition = self.definitions.get(&name);
            let definition = definition.unwrap_or_else(|| panic!("no {name} for {line}"));
            fits(&object, definition).unwrap_or_else(|why| panic!("{why} in {line}"));
            let fields = object.as_object().expect("an object").keys().cloned();
            self.seen.entry(name).or_default().extend(fields);
            last = object["type"].clone();
        }
        let expected = if matches!(ended.code, Some(0 | 3)) {
            "summary"
        } else {
            "error"
        };
        assert_eq!(last, expected, "{ended:?}");
    }
}

/// Tells whether a value fits a schema, as far as JSON Schema is used here; a word that is not known fails.
fn fits(value: &Value, schema: &Value) -> Result<(), String> {
    for (word, wanted) in schema.as_object().expect("a schema") {
        let holds = match word.as_str() {
            "type" => match wanted {
                Value::String(one) => is_of_type(value, one),
                several => {
                    let several = several.as_array().expect("a list of types");
                    several
                        .iter()
                        .any(|one| is_of_type(value, one.as_str().expect("a type")))
                }
            },
            "const" => value == wanted,
            "enum" => wanted.as_array().expect("a list").contains(value),
            "items" => match value.as_array() {
                Some(items) => {
                    for item in items {
                        fits(item, wanted)?;
                    }
                    true
                }
                None => true,
            },
            "properties" => {
                for (name, wanted) in wanted.as_object().expect("properties") {
                    if let Some(value) = value.get(name) {
                        fits(value, wanted).map_err(|why| format!("{name}: {why}"))?;
                    }
                }
                true
            }
            "required" => {
                let names = wanted.as_array().expect("a list");
                let is_there = |name: &Value| value.get(name.as_str().expect("a name")).is_some();
                !value.is_object() || names.iter().all(is_there)
            }
            "additionalProperties" => {
                let known = schema.get("properties").and_then(Value::as_object);
                for (name, value) in value.as_object().into_iter().flatten() {
                    if known.is_some_and(|known| known.contains_key(name)) {
                        continue;
                    }
                    if wanted == &Value::Bool(false) {
                        return Err(format!("{name} is not in the schema"));
                    }
                    fits(value, wanted)?;
                }
                true
            }
            other => panic!("this test does not know \"{other}\" of JSON Schema"),
        };
        if !holds {
            return Err(format!("{value} is not {word} {wanted}"));
        }
    }
    Ok(())
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type {other}"),
    }
}

/// Runs of every command: good ones, dry ones, with problems, with odd names, with mistakes.
const RUNS: &[&[&str]] = &[
    &["backup", "--dest=store", "--localdb=state", "-v", "tree"],
    &["CHANGE"],
    &[
        "backup",
        "--dest=store",
        "--localdb=state",
        "--dry-run",
        "-v",
        "--exclude=empty",
        "tree",
    ],
    &[
        "backup",
        "--dest=store",
        "--localdb=state",
        "-v",
        "--files-from=list",
    ],
    &[
        "backup",
        "--dest=store",
        "--localdb=state",
        "--skip-if-unchanged",
        "--one-file-system",
        "tree",
    ],
    &[
        "backup",
        "--dest=store",
        "--localdb=state",
        "--clean",
        "tree",
    ],
    &["backup", "--dest=store", "--localdb=without", "tree"],
    &["backup", "--dest=store"],
    &["backup", "--dest=store", "--localdb=state", "nowhere"],
    &["restore", "--dest=store", "--target=back", "-v"],
    &["MORE"],
    &[
        "restore",
        "--dest=store",
        "--target=back",
        "--dry-run",
        "-v",
        "--delete",
        "--overwrite=always",
    ],
    &[
        "restore",
        "--dest=store",
        "--target=back",
        "--delete",
        "--overwrite=always",
        "-v",
    ],
    &["restore", "--dest=store", "--target=back"],
    &["restore", "--dest=store", "--target=back", "nowhere"],
    &[
        "restore",
        "--dest=store",
        "--target=back",
        "--overwrite=perhaps",
    ],
    &["list", "--dest=store"],
    &["list", "--dest=nowhere"],
    &["ls", "--dest=store"],
    &["ls", "--dest=store", "nowhere"],
    &["cat", "--dest=store", "tree/file"],
    &["export", "--dest=store"],
    &["completions", "bash"],
    &["find", "--dest=store", "**"],
    &["find", "--dest=store", "a//b"],
    &["diff", "--dest=store", "FIRST", "latest"],
    &["diff", "--dest=store", "--root=.", "latest"],
    &["diff", "--dest=store", "latest", "nothing"],
    &["stats", "--dest=store"],
    &["stats", "--dest=store", "--localdb=state"],
    &["report", "--dest=store", "-o", "page.html"],
    &[
        "report",
        "--dest=store",
        "--localdb=state",
        "--keep-last=1",
        "-o",
        "page.html",
    ],
    &["report", "--dest=store"],
    &["verify", "--dest=store", "--level=files"],
    &["verify", "--dest=store", "--sample=100:7"],
    &["verify", "--dest=store", "--level=none"],
    &["clean", "--localdb=state", "--below=1", "--dry-run"],
    &["clean", "--localdb=state", "--below=1"],
    &["clean", "--dest=store"],
    &[
        "clean",
        "--localdb=state",
        "--lost=00e75d73-0265-4dc2-aadd-91f25d6da412",
    ],
    &[
        "prune",
        "--dest=store",
        "--localdb=state",
        "--keep-last=2",
        "--dry-run",
    ],
    &["prune", "--dest=store", "--localdb=state", "--keep-last=2"],
    &["prune", "--dest=store"],
    &["rebuild", "--dest=store", "--localdb=state", "--deep"],
    &["rebuild", "--dest=nowhere", "--localdb=state"],
    &["config", "show", "backup"],
    &["config", "show", "nothing"],
    &["man", "pages"],
    &["man", "/dev/null/pages"],
    &["nonsense"],
    &["DAMAGE"],
    &["verify", "--dest=store", "--level=files"],
    &["restore", "--dest=store", "--target=damaged"],
];

#[test]
fn every_line_is_what_the_schema_says_and_the_reverse() {
    let place = Place::new();
    make_tree(&place);
    let mut schema = Schema::read();
    let mut commands = BTreeSet::new();
    for arguments in RUNS {
        match arguments[0] {
            "CHANGE" => drop(place.sh(
                "sleep 1.1; cd tree; echo changed >file; chmod 600 empty; rm gone; echo other >zz",
            )),
            "MORE" => drop(place.sh("touch back/tree/superfluous")),
            "DAMAGE" => damage(&place),
            command => {
                let first = place.names_ending("store", ".lbs").into_iter().next();
                let name = first.unwrap_or_default();
                let name = name
                    .trim_start_matches("snapshot-")
                    .trim_end_matches(".lbs");
                let arguments = arguments
                    .iter()
                    .map(|argument| if *argument == "FIRST" { name } else { argument });
                let ended = place.survive(arguments.chain(["--json"]));
                assert!(ended.code.is_some_and(|code| code < 4), "{ended:?}");
                schema.check(&ended);
                commands.insert(command);
            }
        }
    }
    for (name, definition) in &schema.definitions {
        let known = definition["properties"].as_object().expect("properties");
        let known: BTreeSet<_> = known.keys().cloned().collect();
        // Devices need root.
        let is_special = |field: &&String| *field == "device" && !is_root();
        let seen = schema.seen.get(name).cloned().unwrap_or_default();
        let unseen: Vec<_> = known.difference(&seen).filter(|f| !is_special(f)).collect();
        assert!(unseen.is_empty(), "{unseen:?} of {name} were never printed");
    }
    let help = place.succeed(["--help"]).stdout;
    let listed = help.split("Commands:\n").nth(1).expect("commands");
    let listed = listed.split("\n\n").next().expect("commands").lines();
    let listed: BTreeSet<_> = listed.filter_map(|l| l.split_whitespace().next()).collect();
    assert!(
        listed.is_subset(&commands),
        "not run: {:?}",
        listed.difference(&commands)
    );
}

fn make_tree(place: &Place) {
    place.sh("mkdir -p tree/sub store; cd tree; echo contents >file; echo gone >gone; : >empty; ln -s file link; mkfifo pipe
        printf odd >\"$(printf '100%%\\377\\nname')\"; seq 60000 >sub/numbers; if [ $(id -u) = 0 ]; then mknod null c 1 3; fi");
    place.write("list", "tree\nmissing\n");
    place.write(".config/pileus.toml", "[backup]\njobs = 1\n");
    place.sh("chmod go-w .config/pileus.toml");
}

/// Changes a byte in the middle of the largest segment.
fn damage(place: &Place) {
    place.python(
        "import glob, os\nname = max(glob.glob('store/*.tar.bz2'), key=os.path.getsize)\nwith open(name, 'r+b') as file:\n    file.seek(os.path.getsize(name) // 2)\n    byte = file.read(1)[0]\n    file.seek(-1, 1)\n    file.write(bytes([byte ^ 0xff]))",
        &[],
    );
}

#[test]
fn the_document_lists_exactly_what_the_schema_does() {
    let schema = Schema::read();
    let text = fs::read_to_string(project("docs/json.md")).expect("is read");
    let mut documented = BTreeMap::new();
    for part in text.split("\n### `").skip(1) {
        let (name, rest) = part.split_once('`').expect("a name");
        let rows = rest.lines().filter_map(|line| line.strip_prefix("| `"));
        let fields: Vec<_> = rows
            .filter_map(|row| row.split_once('`').map(|(field, _)| field.to_owned()))
            .collect();
        let required = |row: &&str| !row.contains("| only: ");
        let always = rest.lines().filter(|line| line.starts_with("| `"));
        documented.insert(name.to_owned(), (fields, always.filter(required).count()));
    }
    for (name, definition) in &schema.definitions {
        let (fields, required) = documented.remove(name).expect("is documented");
        let mut listed = vec!["type".to_owned()];
        listed.extend(fields);
        listed.sort();
        let properties = definition["properties"].as_object().expect("properties");
        let mut known: Vec<_> = properties.keys().cloned().collect();
        known.sort();
        assert_eq!(listed, known, "{name}");
        let wanted = definition["required"].as_array().expect("a list").len();
        assert_eq!(required + 1, wanted, "{name}: how many are always there");
    }
    assert!(documented.is_empty(), "{documented:?}");
}
