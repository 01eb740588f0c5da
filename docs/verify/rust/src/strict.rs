//! JSON that every reader understands alike, and its canonical form. As it comes, serde_json keeps the last of two members.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::fmt;

const SAFE: i64 = (1 << 53) - 1;

/// The value of one JSON text: UTF-8 without half surrogates, no member twice (however it is escaped), no number beyond all
/// doubles, no more nesting than `depth` and no more members and elements than `members`. The error quotes nothing of the text.
pub fn read(text: &[u8], depth: usize, members: usize) -> Result<Value, &'static str> {
    let mut left = members;
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Strict { depth, left: &mut left }.deserialize(&mut reader);
    match (value, reader.end()) {
        (Ok(value), Ok(())) => Ok(value),
        _ => Err("not JSON in UTF-8, a member twice, too deep or too many members"),
    }
}

struct Strict<'a> {
    depth: usize,
    left: &'a mut usize,
}

impl Strict<'_> {
    /// What reads a member or element.
    fn within<E: Error>(&mut self) -> Result<Strict<'_>, E> {
        *self.left = self.left.checked_sub(1).ok_or_else(|| E::custom("too many members"))?;
        Ok(Strict { depth: self.depth - 1, left: self.left })
    }

    fn check_depth<E: Error>(&self) -> Result<(), E> {
        if self.depth == 0 { Err(E::custom("nested too deep")) } else { Ok(()) }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<Value, A::Error> {
        self.check_depth()?;
        let mut list = Vec::new();
        // The element after the last is none and was not one too many, so it is counted when it is there.
        while let Some(element) = elements.next_element_seed(Strict { depth: self.depth - 1, left: self.left })? {
            self.within::<A::Error>()?;
            list.push(element);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Value, A::Error> {
        self.check_depth()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(self.within()?)?;
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a member twice"));
            }
        }
        Ok(object.into())
    }
}

/// The form of RFC 8785. It has none for an integer in digits alone that not every reader has.
pub fn canonical(arguments: Option<&RawValue>) -> Result<String, &'static str> {
    let text = arguments.map_or("{}", RawValue::get);
    if has_unsafe_integer(text) {
        return Err("an integer that not every reader has");
    }
    let value: Value = serde_json::from_str(text).map_err(|_| "not JSON")?;
    serde_json_canonicalizer::to_string(&value).map_err(|_| "no canonical form")
}

/// text: is JSON. A number is looked at before serde_json makes a double of what is longer than 64 bits.
fn has_unsafe_integer(text: &str) -> bool {
    let (mut in_string, mut escaped) = (false, false);
    let outside = |one: char| {
        let was_in_string = in_string;
        if in_string && !escaped && one == '\\' {
            escaped = true;
            return true;
        }
        if one == '"' && !escaped {
            in_string = !in_string;
        }
        escaped = false;
        was_in_string || !matches!(one, '0'..='9' | '-' | '+' | '.' | 'e' | 'E')
    };
    text.split(outside)
        .filter(|token| !token.is_empty() && !token.contains(['.', 'e', 'E']))
        .any(|digits| !digits.parse::<i64>().is_ok_and(|whole| (-SAFE..=SAFE).contains(&whole)))
}
