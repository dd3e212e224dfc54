//! Spells types and signatures of rustdoc's JSON the way Rust does.

use serde_json::Value;

/// What follows a function's name.
pub(super) fn signature(function: &Value) -> String {
    let inputs: Vec<String> = function["sig"]["inputs"]
        .as_array()
        .map(|inputs| {
            inputs
                .iter()
                .map(|input| match (text(&input[0]), ty(&input[1])) {
                    (name, ty) if name == "self" && ty.ends_with("Self") => {
                        ty.replace("Self", "self")
                    }
                    (name, ty) => format!("{name}: {ty}"),
                })
                .collect()
        })
        .unwrap_or_default();
    let output = match &function["sig"]["output"] {
        Value::Null => String::new(),
        output => format!(" -> {}", ty(output)),
    };
    let unsafe_ = if function["header"]["is_unsafe"] == true {
        " unsafe"
    } else {
        ""
    };
    format!(
        "{}({}){output}{unsafe_}{}",
        generics(&function["generics"]),
        inputs.join(", "),
        conditions(&function["generics"])
    )
}

/// The `where` clause.
fn conditions(generics: &Value) -> String {
    let parts: Vec<String> = generics["where_predicates"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|predicate| match predicate.get("bound_predicate") {
            Some(bound) => format!("{}: {}", ty(&bound["type"]), bounds(&bound["bounds"])),
            None => predicate.to_string(),
        })
        .collect();
    if parts.is_empty() {
        String::new()
    } else {
        format!(" where {}", parts.join(", "))
    }
}

/// Generic parameters in angle brackets; nothing when there are none.
pub(super) fn generics(generics: &Value) -> String {
    let params: Vec<String> = generics["params"]
        .as_array()
        .map(|params| {
            params
                .iter()
                .filter(|param| param["kind"]["type"]["is_synthetic"] != true)
                .map(|param| {
                    let kind = &param["kind"];
                    if kind["const"].is_object() {
                        return format!(
                            "const {}: {}",
                            text(&param["name"]),
                            ty(&kind["const"]["type"])
                        );
                    }
                    let bounds = bounds(&kind["type"]["bounds"]);
                    let colon = if bounds.is_empty() { "" } else { ": " };
                    format!("{}{colon}{bounds}", text(&param["name"]))
                })
                .collect()
        })
        .unwrap_or_default();
    if params.is_empty() {
        String::new()
    } else {
        format!("<{}>", params.join(", "))
    }
}

fn bounds(list: &Value) -> String {
    let parts: Vec<String> = list
        .as_array()
        .map(|bounds| {
            bounds
                .iter()
                .map(|bound| match bound.get("trait_bound") {
                    Some(bound) => {
                        let maybe = if bound["modifier"] == "maybe" {
                            "?"
                        } else {
                            ""
                        };
                        format!("{maybe}{}", path_with_args(&bound["trait"]))
                    }
                    None => text(&bound["outlives"]),
                })
                .filter(|bound| !bound.is_empty())
                .collect()
        })
        .unwrap_or_default();
    parts.join(" + ")
}

/// The last segment of a type's or trait's path with its arguments.
pub(super) fn path_with_args(path: &Value) -> String {
    let name = text(&path["path"]);
    let name = name.rsplit("::").next().unwrap_or_default();
    let angle = &path["args"]["angle_bracketed"];
    let mut args: Vec<String> = angle["args"]
        .as_array()
        .map(|args| {
            args.iter()
                .map(|arg| match arg.as_object().and_then(|o| o.iter().next()) {
                    Some((kind, value)) if kind == "type" => ty(value),
                    Some((kind, value)) if kind == "lifetime" => text(value),
                    _ => arg.to_string(),
                })
                .collect()
        })
        .unwrap_or_default();
    for constraint in angle["constraints"].as_array().into_iter().flatten() {
        let equals = &constraint["binding"]["equality"]["type"];
        args.push(format!("{} = {}", text(&constraint["name"]), ty(equals)));
    }
    let call = &path["args"]["parenthesized"];
    if call.is_object() {
        let inputs: Vec<String> = call["inputs"]
            .as_array()
            .into_iter()
            .flatten()
            .map(ty)
            .collect();
        return format!("{name}({}) -> {}", inputs.join(", "), ty(&call["output"]));
    }
    if args.is_empty() {
        name.to_owned()
    } else {
        format!("{name}<{}>", args.join(", "))
    }
}

/// A type as Rust spells it.
pub(super) fn ty(value: &Value) -> String {
    let Some((kind, inner)) = value.as_object().and_then(|object| object.iter().next()) else {
        return if value.is_null() {
            "()".to_owned()
        } else {
            text(value)
        };
    };
    let mutable = if inner["is_mutable"] == true {
        "mut "
    } else {
        ""
    };
    match kind.as_str() {
        "resolved_path" => path_with_args(inner),
        "generic" | "primitive" => text(inner),
        "borrowed_ref" => {
            let lifetime = text(&inner["lifetime"]);
            let space = if lifetime.is_empty() { "" } else { " " };
            format!("&{lifetime}{space}{mutable}{}", ty(&inner["type"]))
        }
        "raw_pointer" => {
            format!(
                "*{}{}",
                if mutable.is_empty() {
                    "const "
                } else {
                    mutable
                },
                ty(&inner["type"])
            )
        }
        "slice" => format!("[{}]", ty(inner)),
        "array" => format!("[{}; {}]", ty(&inner["type"]), text(&inner["len"])),
        "tuple" => {
            let parts: Vec<String> = inner.as_array().into_iter().flatten().map(ty).collect();
            format!("({})", parts.join(", "))
        }
        "impl_trait" => format!("impl {}", bounds(inner)),
        "dyn_trait" => {
            let traits: Vec<String> = inner["traits"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|part| path_with_args(&part["trait"]))
                .collect();
            let lifetime = text(&inner["lifetime"]);
            let plus = if lifetime.is_empty() { "" } else { " + " };
            format!("dyn {}{plus}{lifetime}", traits.join(" + "))
        }
        "qualified_path" => format!("{}::{}", ty(&inner["self_type"]), text(&inner["name"])),
        "function_pointer" => {
            let inputs: Vec<String> = inner["sig"]["inputs"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|i| ty(&i[1]))
                .collect();
            format!(
                "fn({}) -> {}",
                inputs.join(", "),
                ty(&inner["sig"]["output"])
            )
        }
        _ => kind.clone(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(String::new, str::to_owned)
}
