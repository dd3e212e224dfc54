//! The values that a template meets, with the Go types that Ollama gives them.

use std::rc::Rc;

use super::text::{Author, Text};

/// A value. Go's interfaces are transparent; only an empty one is told apart from no value at all.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// No value: prints as `<no value>`, and fields of it are no value again.
    Invalid,
    /// An `any` that holds nothing: prints as the above, but has no fields.
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Text),
    List(List),
    Map(Map),
    Struct(Rc<Struct>),
    /// `*api.ToolPropertiesMap`; `None` is a nil pointer.
    Ordered(Option<Rc<Entries>>),
}

pub(super) type Entries = Vec<(Text, Value)>;

/// A Go slice.
#[derive(Debug, Clone)]
pub(super) struct List {
    pub(super) kind: ListKind,
    /// `None` is a nil slice.
    pub(super) items: Option<Rc<[Value]>>,
    pub(super) start: usize,
    pub(super) end: usize,
    /// Where slicing it again may end.
    pub(super) cap: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListKind {
    Any,
    Strings,
    Images,
    Messages,
    ToolCalls,
    Tools,
    Types,
    Properties,
}

impl List {
    pub(super) fn new(kind: ListKind, items: Vec<Value>) -> Self {
        let len = items.len();
        Self {
            kind,
            items: Some(items.into()),
            start: 0,
            end: len,
            cap: len,
        }
    }

    pub(super) fn nil(kind: ListKind) -> Self {
        Self {
            kind,
            items: None,
            start: 0,
            end: 0,
            cap: 0,
        }
    }

    /// Nil when there are none, as Go's `append` leaves it.
    pub(super) fn appended(kind: ListKind, items: Vec<Value>) -> Self {
        if items.is_empty() {
            Self::nil(kind)
        } else {
            Self::new(kind, items)
        }
    }

    pub(super) fn items(&self) -> &[Value] {
        self.items
            .as_deref()
            .and_then(|items| items.get(self.start..self.end))
            .unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.end - self.start
    }
}

/// A Go map with texts as keys, sorted by them.
#[derive(Debug, Clone)]
pub(super) struct Map {
    pub(super) kind: MapKind,
    /// `None` is a nil map.
    pub(super) entries: Option<Rc<Entries>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MapKind {
    Any,
    Arguments,
    Properties,
}

impl Map {
    /// Sorts the entries; of those with the same key the last counts.
    pub(super) fn new(kind: MapKind, mut entries: Entries) -> Self {
        entries.sort_by(|a, b| a.0.bytes().cmp(b.0.bytes()));
        let mut unique: Entries = Vec::with_capacity(entries.len());
        for entry in entries {
            match unique.last_mut() {
                Some(last) if last.0 == entry.0 => *last = entry,
                _ => unique.push(entry),
            }
        }
        Self {
            kind,
            entries: Some(Rc::new(unique)),
        }
    }

    pub(super) fn nil(kind: MapKind) -> Self {
        Self {
            kind,
            entries: None,
        }
    }

    pub(super) fn entries(&self) -> &[(Text, Value)] {
        self.entries.as_deref().map_or(&[], Vec::as_slice)
    }

    /// The entry, or the zero value of the map's element type.
    pub(super) fn get(&self, key: &[u8]) -> Value {
        let entries = self.entries();
        match entries.binary_search_by(|(k, _)| k.bytes().cmp(key)) {
            Ok(found) => entries[found].1.clone(),
            Err(_) if self.kind == MapKind::Properties => Struct::zero_property(),
            Err(_) => Value::Nil,
        }
    }
}

/// A Go struct, or a pointer to one.
#[derive(Debug)]
pub(super) struct Struct {
    pub(super) kind: StructKind,
    /// In the order of [`StructKind::fields`].
    pub(super) values: Vec<Value>,
    /// Of a message that may be dropped from the prompt: the group of its text.
    pub(super) group: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StructKind {
    Message,
    ToolCall,
    CallFunction,
    Tool,
    Function,
    Parameters,
    Property,
}

/// A field of a struct in Go and in JSON.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) json: &'static str,
    pub(super) omit_empty: bool,
}

const fn plain(name: &'static str) -> Field {
    tagged(name, name)
}

const fn tagged(name: &'static str, json: &'static str) -> Field {
    Field {
        name,
        json,
        omit_empty: false,
    }
}

const fn optional(name: &'static str, json: &'static str) -> Field {
    Field {
        name,
        json,
        omit_empty: true,
    }
}

impl StructKind {
    pub(super) fn fields(self) -> &'static [Field] {
        const MESSAGE: &[Field] = &[
            plain("Role"),
            plain("Content"),
            plain("Thinking"),
            plain("Images"),
            plain("ToolCalls"),
            plain("ToolName"),
            plain("ToolCallID"),
        ];
        const TOOL_CALL: &[Field] = &[plain("ID"), plain("Function")];
        const CALL_FUNCTION: &[Field] = &[plain("Index"), plain("Name"), plain("Arguments")];
        const TOOL: &[Field] = &[
            tagged("Type", "type"),
            optional("Items", "items"),
            tagged("Function", "function"),
        ];
        const FUNCTION: &[Field] = &[
            tagged("Name", "name"),
            tagged("Description", "description"),
            tagged("Parameters", "parameters"),
        ];
        const PARAMETERS: &[Field] = &[
            tagged("Type", "type"),
            optional("Defs", "$defs"),
            optional("Items", "items"),
            optional("Required", "required"),
            tagged("Properties", "properties"),
        ];
        const PROPERTY: &[Field] = &[
            optional("AnyOf", "anyOf"),
            optional("Type", "type"),
            optional("Items", "items"),
            optional("Description", "description"),
            optional("Enum", "enum"),
            optional("Properties", "properties"),
            optional("Required", "required"),
        ];
        match self {
            Self::Message => MESSAGE,
            Self::ToolCall => TOOL_CALL,
            Self::CallFunction => CALL_FUNCTION,
            Self::Tool => TOOL,
            Self::Function => FUNCTION,
            Self::Parameters => PARAMETERS,
            Self::Property => PROPERTY,
        }
    }

    pub(super) fn type_name(self) -> &'static str {
        match self {
            Self::Message => "*template.templateMessage",
            Self::ToolCall => "template.templateToolCall",
            Self::CallFunction => "template.templateToolCallFunction",
            Self::Tool => "template.templateTool",
            Self::Function => "template.templateToolFunction",
            Self::Parameters => "template.templateToolFunctionParameters",
            Self::Property => "api.ToolProperty",
        }
    }
}

impl Struct {
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        let fields = self.kind.fields();
        let index = fields.iter().position(|field| field.name == name)?;
        self.values.get(index)
    }

    /// Whether values of it are pointers.
    pub(super) fn is_pointer(&self) -> bool {
        self.kind == StructKind::Message
    }

    fn zero_property() -> Value {
        Value::of_fields(
            StructKind::Property,
            vec![
                Value::List(List::nil(ListKind::Properties)),
                Value::List(List::nil(ListKind::Types)),
                Value::Nil,
                Value::text(""),
                Value::List(List::nil(ListKind::Any)),
                Value::Ordered(None),
                Value::List(List::nil(ListKind::Strings)),
            ],
        )
    }
}

impl Value {
    /// Text that the template computed.
    pub(super) fn text(text: &str) -> Self {
        Self::Text(Text::new(text, Author::Template))
    }

    /// A struct, which is no message.
    pub(super) fn of_fields(kind: StructKind, values: Vec<Value>) -> Self {
        Self::Struct(Rc::new(Struct {
            kind,
            values,
            group: None,
        }))
    }

    /// A message, and the group of what is written about it.
    pub(super) fn message(values: Vec<Value>, group: Option<u32>) -> Self {
        Self::Struct(Rc::new(Struct {
            kind: StructKind::Message,
            values,
            group,
        }))
    }

    /// What Go's templates count as true.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Invalid | Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::List(list) => list.len() > 0,
            Self::Map(map) => !map.entries().is_empty(),
            Self::Struct(_) => true,
            Self::Ordered(map) => map.is_some(),
        }
    }

    /// What `encoding/json` leaves out of structs that ask for it.
    pub(super) fn is_empty(&self) -> bool {
        !matches!(self, Self::Struct(_)) && !self.is_true()
    }

    /// How much there is to read: values inside of it, if `whole`, and every 64 bytes of text. Values are
    /// never deeper than [`super::limits::JSON_DEPTH`], so recursion ends.
    pub(super) fn weight(&self, whole: bool) -> usize {
        let entries = |entries: &[(Text, Value)]| -> usize {
            let entry = |(key, value): &(Text, Value)| key.len() / 64 + value.weight(true);
            entries.iter().map(entry).sum()
        };
        let items = |items: &[Value]| items.iter().map(|item| item.weight(true)).sum();
        1 + match self {
            Self::Text(text) => text.len() / 64,
            _ if !whole => 0,
            Self::List(list) => items(list.items()),
            Self::Struct(value) => items(&value.values),
            Self::Map(map) => entries(map.entries()),
            Self::Ordered(Some(map)) => entries(map),
            _ => 0,
        }
    }

    /// The name of its type in Go; `None` when it has none.
    pub(super) fn type_name(&self) -> Option<&'static str> {
        Some(match self {
            Self::Invalid | Self::Nil => return None,
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::List(list) => match list.kind {
                ListKind::Any => "[]interface {}",
                ListKind::Strings => "[]string",
                ListKind::Images => "[]api.ImageData",
                ListKind::Messages => "[]*template.templateMessage",
                ListKind::ToolCalls => "[]template.templateToolCall",
                ListKind::Tools => "template.templateTools",
                ListKind::Types => "api.PropertyType",
                ListKind::Properties => "[]api.ToolProperty",
            },
            Self::Map(map) => match map.kind {
                MapKind::Any => "map[string]interface {}",
                MapKind::Arguments => "template.templateArgs",
                MapKind::Properties => "template.templateProperties",
            },
            Self::Struct(value) => value.kind.type_name(),
            Self::Ordered(_) => "*api.ToolPropertiesMap",
        })
    }

    /// The type's name for error messages.
    pub(super) fn described(&self) -> &'static str {
        self.type_name().unwrap_or("nil")
    }
}
