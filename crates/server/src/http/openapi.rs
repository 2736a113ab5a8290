//! `openapi.json`: written from the handlers, the types of their answers, and the table of routes.
//!
//! The handlers say what they take and give; by which problems each may be refused stands in the
//! table of routes, and what those are in the table of problems. So nothing is said twice, and a
//! test compares the file in the repository with what this writes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::SchemaType;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, ObjectBuilder, OpenApi as Document, Ref, RefOr, ResponseBuilder, Schema, Type,
};
use utoipa::{Modify, OpenApi, PartialSchema, ToSchema};

use super::events::{MoveBody, ResetBody, SeatsBody, TokenBody};
use super::problem::{ProblemBody, every};
use super::{ROUTES, Route};
use super::{
    docs, events, health, me, pages, payment, performances, queue, reservations, ticket_sheet,
};
use crate::ids::IdText;
use crate::language::Language;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "maepyo",
        description = "A concert box office that stays open under a stampede: a waiting line, \
            a seat map, holds, payments and tickets.",
    ),
    paths(
        performances::list_performances,
        performances::show_performance,
        performances::show_plan,
        performances::show_availability,
        reservations::list_seats,
        queue::join_line,
        queue::show_place,
        events::follow_place,
        queue::leave_line,
        reservations::hold_seats,
        me::list_reservations,
        me::show_reservation,
        ticket_sheet::show_tickets,
        me::give_back_seats,
        payment::pay_reservation,
        payment::show_payment,
        docs::show_openapi,
        docs::show_docs,
        docs::show_docs_style,
        health::show_health,
        health::show_readiness,
        pages::show_front_page,
        pages::show_waiting_page,
        pages::show_seats_page,
        pages::show_pay_page,
        pages::show_tickets_page,
        pages::show_page_file,
    ),
    modifiers(&Tokens, &Events, &Problems, &Absence),
)]
struct Api;

/// How each call is authorised.
struct Tokens;

impl Modify for Tokens {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        let tokens = [
            (
                "queue_token",
                "The token of POST /queue/token: a place in the line. Valid for 5 minutes; any \
                 answer may carry a fresh one in the header Queue-Token.",
            ),
            ("tickets_token", "The token of a successful payment. Reads its reservation."),
        ];
        for (name, description) in tokens {
            let scheme = HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .bearer_format("JWT")
                .description(Some(description));
            components.add_security_scheme(name, SecurityScheme::Http(scheme.build()));
        }
    }
}

/// What events say that no answer does: their data is no body of a call.
struct Events;

impl Modify for Events {
    fn modify(&self, document: &mut Document) {
        let schemas = &mut document.components.get_or_insert_default().schemas;
        schemas.insert(TokenBody::name().into_owned(), TokenBody::schema());
        schemas.insert(SeatsBody::name().into_owned(), SeatsBody::schema());
        schemas.insert(ResetBody::name().into_owned(), ResetBody::schema());
        schemas.insert(MoveBody::name().into_owned(), MoveBody::schema());
    }
}

/// The problems of each call, by the table of routes.
struct Problems;

impl Modify for Problems {
    fn modify(&self, document: &mut Document) {
        let mut schemas = vec![(ProblemBody::name().into_owned(), ProblemBody::schema())];
        ProblemBody::schemas(&mut schemas);
        document.components.get_or_insert_default().schemas.extend(schemas);

        let known = every();
        for route in ROUTES {
            let operation = operation_mut(document, route);
            let mut by_status: BTreeMap<u16, Vec<String>> = BTreeMap::new();
            for code in route.codes {
                let problem = known.iter().find(|problem| problem.code() == *code);
                let problem = problem.expect("the table of routes names codes that exist");
                let line = format!("`{code}`: {}", problem.title(Language::En));
                by_status.entry(problem.status().as_u16()).or_default().push(line);
            }
            for (status, lines) in by_status {
                let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem")));
                let response = ResponseBuilder::new()
                    .description(lines.join("; "))
                    .content("application/problem+json", content.build());
                operation.responses.responses.insert(status.to_string(), response.build().into());
            }
        }
    }
}

/// What may be absent is not null when it is there; without this it would be said to be either.
struct Absence;

impl Modify for Absence {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        for schema in components.schemas.values_mut() {
            never_null_where_absent(schema);
        }
        let items = document.paths.paths.values_mut();
        let operations = items.flat_map(|item| [&mut item.get, &mut item.post, &mut item.delete]);
        for operation in operations.flatten() {
            for parameter in operation.parameters.iter_mut().flatten() {
                if let RefOr::T(parameter) = parameter {
                    parameter.schema.iter_mut().for_each(never_null);
                }
            }
            if let Some(RefOr::T(body)) = &mut operation.request_body {
                for content in body.content.values_mut() {
                    if let RefOr::T(content) = content {
                        content.schema.iter_mut().for_each(never_null);
                    }
                }
            }
        }
    }
}

fn never_null_where_absent(schema: &mut RefOr<Schema>) {
    match schema {
        RefOr::T(Schema::Object(object)) => {
            let required = &object.required;
            let absent = object.properties.iter_mut().filter(|(name, _)| !required.contains(name));
            absent.for_each(|(_, property)| never_null(property));
        }
        RefOr::T(Schema::AllOf(parts)) => parts.items.iter_mut().for_each(never_null_where_absent),
        RefOr::T(_) | RefOr::Ref(_) => {}
    }
}

fn never_null(schema: &mut RefOr<Schema>) {
    let schema_type = match schema {
        RefOr::T(Schema::Object(object)) => &mut object.schema_type,
        RefOr::T(Schema::Array(list)) => &mut list.schema_type,
        RefOr::T(Schema::OneOf(one)) => {
            // A type of its own, or null.
            if let Some(only) = one.items.iter().find(|item| matches!(item, RefOr::Ref(_))) {
                *schema = only.clone();
            }
            return;
        }
        RefOr::T(_) | RefOr::Ref(_) => return,
    };
    if let SchemaType::Array(types) = schema_type {
        types.retain(|one| *one != Type::Null);
        if types.len() == 1 {
            *schema_type = SchemaType::Type(types.remove(0));
        }
    }
}

impl<const N: usize> PartialSchema for IdText<N> {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("An id: opaque, in lower case."))
            .min_length(Some(N))
            .max_length(Some(N))
            .pattern(Some("^[0-9a-hjkmnp-tv-z]+$"))
            .into()
    }
}

impl<const N: usize> ToSchema for IdText<N> {
    fn name() -> Cow<'static, str> {
        (if N == 13 { "ShortId" } else { "LongId" }).into()
    }
}

fn operation_mut<'d>(document: &'d mut Document, route: &Route) -> &'d mut Operation {
    let item = document.paths.paths.get_mut(route.path).expect("every route is documented");
    let operation = match route.method {
        "get" => &mut item.get,
        "post" => &mut item.post,
        "delete" => &mut item.delete,
        other => unreachable!("the table of routes has no {other}"),
    };
    let named =
        |operation: &&mut Operation| operation.operation_id.as_deref() == Some(route.operation_id);
    operation.as_mut().filter(named).expect("every route is documented under its handler's name")
}

/// The document.
pub(super) fn document() -> Document {
    Api::openapi()
}

/// The document as it stands in the repository and is served.
pub(super) fn openapi_json() -> String {
    let mut json = document().to_pretty_json().expect("the document is JSON");
    json.push('\n');
    json
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use domain::Refusal;

    use super::super::problem::Cause;
    use super::*;

    #[test]
    fn the_file_is_what_the_code_writes() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../openapi.json");
        let written = openapi_json();
        if std::env::var_os("UPDATE_OPENAPI").is_some() {
            std::fs::write(&path, &written).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == written,
            "openapi.json is not what the code says. If the change is wanted, write it anew with \
             `UPDATE_OPENAPI=1 cargo test -p maepyo openapi` and look at the difference."
        );
    }

    #[test]
    fn every_route_is_documented_under_its_handlers_name_and_nothing_else_is() {
        let document = document();
        let documented: BTreeSet<(String, String, String)> = document
            .paths
            .paths
            .iter()
            .flat_map(|(path, item)| {
                [("get", &item.get), ("post", &item.post), ("delete", &item.delete)]
                    .into_iter()
                    .filter_map(move |(method, operation)| Some((method, operation.as_ref()?)))
                    .map(move |(method, operation)| {
                        let id = operation.operation_id.clone().unwrap_or_default();
                        (method.to_owned(), path.clone(), id)
                    })
            })
            .collect();
        let routed = ROUTES.iter().map(|route| {
            (route.method.to_owned(), route.path.to_owned(), route.operation_id.to_owned())
        });
        assert_eq!(documented, routed.collect());
    }

    #[test]
    fn every_code_is_documented() {
        let json = openapi_json();
        let edges = every();
        let codes = edges.iter().map(Cause::code).chain(Refusal::CODES.iter().copied());
        for code in codes {
            assert!(json.contains(&format!("\"{code}\"")), "{code}");
        }
    }

    #[test]
    fn examples_have_no_field_that_is_not_documented() {
        let json: serde_json::Value = serde_json::from_str(&openapi_json()).unwrap();
        let schemas = json["components"]["schemas"].as_object().unwrap();
        let fields = |schema: &serde_json::Value| {
            let properties = schema["properties"].as_object().into_iter().flatten();
            properties.map(|(field, _)| field.clone()).collect::<BTreeSet<String>>()
        };
        let mut examples = 0;
        for (name, schema) in schemas {
            let mut known = fields(schema);
            for part in schema["allOf"].as_array().into_iter().flatten() {
                known.extend(fields(part));
                let named = part["$ref"].as_str().and_then(|path| path.rsplit('/').next());
                known.extend(named.map(|named| fields(&schemas[named])).unwrap_or_default());
            }
            for example in schema["examples"].as_array().into_iter().flatten() {
                for (field, _) in example.as_object().into_iter().flatten() {
                    assert!(known.contains(field), "{name}: {field}");
                    examples += 1;
                }
            }
        }
        assert!(examples > 40, "{examples}");
    }

    #[test]
    fn everything_that_is_referred_to_is_there() {
        let json: serde_json::Value = serde_json::from_str(&openapi_json()).unwrap();
        let schemas = json["components"]["schemas"].as_object().unwrap();
        let text = json.to_string();
        let references = text.split("#/components/schemas/").skip(1);
        let names: BTreeSet<&str> =
            references.map(|rest| rest.split('"').next().unwrap()).collect();
        assert!(names.len() > 10, "{names:?}");
        for name in names {
            assert!(schemas.contains_key(name), "{name}");
        }
    }
}
