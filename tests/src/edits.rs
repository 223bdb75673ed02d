//! Edits that people and programs make, good and bad, of every field that a CRD's schema knows: what Acto
//! does. Pure; the same seed makes the same edits.

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Map, Value, json};

/// One edit.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    /// Where: `policy.windows[0].from`.
    pub field: String,
    /// What is done there, in a few words.
    pub what: String,
    /// The whole spec with it.
    pub spec: Value,
}

/// Makes edits of a spec.
pub struct Editor {
    fields: Vec<Field>,
    base: Value,
    /// Values of whole top-level fields that the base has no room for: another source, say.
    donors: Vec<(&'static str, Value)>,
    random: StdRng,
    /// With which field it begins.
    begin: usize,
}

#[derive(Clone)]
struct Field {
    path: Vec<Part>,
    schema: Value,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Key(String),
    /// The first of a list.
    First,
}

impl Editor {
    /// For the spec of this CRD (YAML), from this spec.
    pub fn new(
        crd: &str,
        base: Value,
        donors: Vec<(&'static str, Value)>,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let crd: Value = serde_yaml::from_str(crd)?;
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        let mut fields = Vec::new();
        walk(schema, &mut Vec::new(), &mut fields);
        anyhow::ensure!(fields.len() > 10, "expected a CRD with a schema");
        let mut random = StdRng::seed_from_u64(seed);
        let begin = random.random_range(0..fields.len());
        Ok(Self { fields, base, donors, random, begin })
    }

    /// How many fields there are.
    pub fn fields(&self) -> usize {
        self.fields.len()
    }

    /// A number below this one.
    pub fn below(&mut self, limit: usize) -> usize {
        self.random.random_range(0..limit)
    }

    /// The next edit. `turn`: counts up, so that each field has its turn before one comes again.
    pub fn next(&mut self, turn: usize) -> Edit {
        // A stride without a common factor spreads the turns over the schema, and leaves no field out.
        let all = self.fields.len();
        let stride = (37..=37 + all).find(|stride| is_coprime(*stride, all)).unwrap_or(1);
        let field = self.fields[(turn + self.begin) * stride % all].clone();
        let mut values = values(&field.schema);
        values.push(("removed", Value::Null));
        values.push(("an unknown field beside it", json!("unknown")));
        let (what, value) = values.choose(&mut self.random).cloned().unwrap_or(("null", Value::Null));
        let mut spec = self.spec_with(&field.path);
        match what {
            "removed" => change(&mut spec, &field.path, |map, key| drop(map.remove(key))),
            "an unknown field beside it" => change(&mut spec, &field.path, |map, _| {
                map.insert("unknownToAll".into(), value.clone());
            }),
            _ => change(&mut spec, &field.path, |map, key| drop(map.insert(key.into(), value.clone()))),
        }
        let short: String = value.to_string().chars().take(60).collect();
        Edit { field: text(&field.path), what: format!("{what} {short}"), spec }
    }

    /// The base, with a donor where only that has such a field.
    fn spec_with(&mut self, path: &[Part]) -> Value {
        let has = |value: &Value| find(value, path);
        let Some(Part::Key(top)) = path.first() else { return self.base.clone() };
        let mut fitting: Vec<_> = (self.donors.iter())
            .filter(|(name, _)| name == top)
            .map(|(name, donor)| {
                let mut spec = self.base.clone();
                spec[*name] = donor.clone();
                spec
            })
            .filter(has)
            .collect();
        if has(&self.base) || fitting.is_empty() {
            fitting.push(self.base.clone());
        }
        fitting.choose(&mut self.random).cloned().unwrap_or_else(|| self.base.clone())
    }
}

fn is_coprime(mut a: usize, mut b: usize) -> bool {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a == 1
}

fn walk(schema: &Value, path: &mut Vec<Part>, fields: &mut Vec<Field>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        path.push(Part::Key(name.clone()));
        fields.push(Field { path: path.clone(), schema: property.clone() });
        walk(property, path, fields);
        if property["items"].is_object() {
            path.push(Part::First);
            walk(&property["items"], path, fields);
            path.pop();
        }
        path.pop();
    }
}

fn text(path: &[Part]) -> String {
    let mut text = String::new();
    for part in path {
        match part {
            Part::Key(key) if text.is_empty() => text.push_str(key),
            Part::Key(key) => {
                text.push('.');
                text.push_str(key);
            }
            Part::First => text.push_str("[0]"),
        }
    }
    text
}

fn find(value: &Value, path: &[Part]) -> bool {
    let found = path.iter().try_fold(value, |value, part| match part {
        Part::Key(key) => value.get(key),
        Part::First => value.get(0),
    });
    found.is_some()
}

/// Does something with the map that has the last key of the path; makes what is missing on the way.
fn change(spec: &mut Value, path: &[Part], how: impl FnOnce(&mut Map<String, Value>, &str)) {
    let Some((Part::Key(last), way)) = path.split_last() else { return };
    let mut place = spec;
    for (at, part) in way.iter().enumerate() {
        place = match part {
            Part::Key(key) => {
                let empty = if way.get(at + 1) == Some(&Part::First) { json!([{}]) } else { json!({}) };
                if !place.is_object() {
                    return;
                }
                let next = &mut place[key.as_str()];
                if next.is_null() {
                    *next = empty;
                }
                next
            }
            Part::First => match place.get_mut(0) {
                Some(first) => first,
                None => return,
            },
        };
    }
    if let Some(map) = place.as_object_mut() {
        how(map, last);
    }
}

/// What is worth writing into a field of this type.
fn values(schema: &Value) -> Vec<(&'static str, Value)> {
    let mut values = vec![("null", Value::Null)];
    match schema["type"].as_str() {
        Some("string") => {
            let long = |length: u64| json!("x".repeat(usize::try_from(length.min(100_000)).unwrap_or(0)));
            let most = schema["maxLength"].as_u64().unwrap_or(100);
            values.extend([
                ("empty", json!("")),
                ("the longest", long(most)),
                ("too long", long(most + 1)),
                ("huge", json!("x".repeat(300_000))),
                ("emoji", json!("ü 🚀 \u{202e}")),
                ("a template", json!("{{ lookup('pipe', 'id') }}")),
                ("lines", json!("a\nb\r\n\tc")),
                ("negative", json!("-1h")),
                ("a duration", json!("1h")),
                ("a short duration", json!("0s")),
                ("the longest duration", json!("99999h")),
                ("every second", json!("* * * * * *")),
                ("never", json!("0 0 31 2 *")),
                ("a time", json!("24:00")),
                ("a time zone of nobody", json!("Mars/Olympus")),
                ("nowhere", json!("nowhere")),
                ("itself", json!("blog")),
                ("a path out", json!("../../etc/passwd")),
                ("an option", json!("--version")),
                ("wrong type", json!({"a": [1]})),
                ("wrong type", json!(7)),
            ]);
            values.extend(schema["enum"].as_array().into_iter().flatten().map(|v| ("one of", v.clone())));
        }
        Some("integer" | "number") => {
            values.extend([0, 1, -1, i64::from(i32::MAX), i64::MAX].map(|n| ("a number", json!(n))));
            for (bound, beyond) in [("minimum", -1.0), ("maximum", 1.0)] {
                if let Some(number) = schema[bound].as_f64() {
                    values.extend([("the bound", json!(number as i64))]);
                    values.extend([("beyond the bound", json!((number + beyond) as i64))]);
                }
            }
            values.extend([("wrong type", json!("many")), ("broken", json!(1.5))]);
        }
        Some("boolean") => {
            values.extend([true, false].map(|yes| ("yes or no", json!(yes))));
            values.push(("wrong type", json!("perhaps")));
        }
        Some("array") => {
            let most = schema["maxItems"].as_u64().unwrap_or(20);
            let many: Vec<Value> = (0..=most).map(|n| json!({"name": format!("n{n}")})).collect();
            values.extend([
                ("empty", json!([])),
                ("of nothing", json!([null])),
                ("of empty ones", json!([{}])),
                ("of texts", json!(["a", "a"])),
                ("too many", json!(many)),
                ("itself", json!([{"name": "blog"}])),
                ("nobody", json!([{"name": "nobody"}])),
                ("wrong type", json!({"a": 1})),
            ]);
        }
        _ => values.extend([
            ("empty", json!({})),
            ("of unknown fields", json!({"unknownToAll": {"deep": ["{{ x }}", "🚀"]}})),
            ("huge", json!({"a": "x".repeat(300_000)})),
            ("deep", (0..60).fold(json!(1), |inner, _| json!({ "a": inner }))),
            ("wrong type", json!("text")),
            ("wrong type", json!([1])),
        ]),
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn editor(seed: u64) -> Editor {
        let base = json!({"playbook": "deploy.yml", "source": {"inline": {"deploy.yml": "x"}}});
        let donors =
            vec![("source", json!({"git": {"url": "https://nowhere.invalid/x.git", "branch": "main"}}))];
        Editor::new(include_str!("../../crds/services.yaml"), base, donors, seed).expect("a schema")
    }

    #[test]
    fn the_same_seed_makes_the_same_edits_and_every_field_has_its_turn() {
        let edits = |seed| {
            let mut editor = editor(seed);
            (0..editor.fields()).map(|turn| editor.next(turn)).collect::<Vec<_>>()
        };
        assert_eq!(edits(7), edits(7));
        assert_ne!(edits(7), edits(8));
        let mut fields: Vec<_> = edits(7).into_iter().map(|edit| edit.field).collect();
        fields.sort();
        fields.dedup();
        let all = editor(7).fields();
        assert!(fields.len() * 10 > all * 9, "{} of {all} fields had their turn", fields.len());
        assert!(fields.contains(&"policy.windows[0].from".to_owned()));
    }

    #[test]
    fn an_edit_of_a_field_that_only_a_donor_has_begins_there() {
        let mut editor = editor(1);
        let turn = (0..1_000).find(|turn| editor.next(*turn).field == "source.git.branch").expect("its turn");
        let spec = editor.next(turn).spec;
        assert_eq!(spec["source"]["git"]["url"], "https://nowhere.invalid/x.git");
        assert!(spec["source"].get("inline").is_none());
    }
}
