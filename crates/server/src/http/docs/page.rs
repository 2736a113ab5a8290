//! The page `/docs`: an OpenAPI document as HTML. Everything that is not a tag of ours is escaped.

use std::fmt::{self, Display, Write};

use serde_json::Value;

use crate::http::problem::every;
use crate::language::Language;

/// The page of a document.
pub(super) fn page(api: &Value) -> String {
    let mut page = String::new();
    write_page(&mut page, api).expect("memory is enough");
    page
}

fn write_page(page: &mut String, api: &Value) -> fmt::Result {
    let title = text(&api["info"]["title"]);
    let (description, version) = (text(&api["info"]["description"]), text(&api["info"]["version"]));
    write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}: HTTP API</title>\n<link rel=\"stylesheet\" href=\"/docs.css\">\n</head>\n\
         <body>\n<header>\n<h1>{title} <small>{version}</small></h1>\n<p>{description}</p>\n\
         <p>As a file: <a href=\"/openapi.json\">openapi.json</a>.</p>\n</header>\n",
    )?;
    let operations = operations(api);
    write_contents(page, &operations)?;
    page.push_str("<main>\n<h2 id=\"tokens\">Tokens</h2>\n");
    for (name, scheme) in entries(&api["components"]["securitySchemes"]) {
        let (name, description) = (escape(name), text(&scheme["description"]));
        writeln!(page, "<p><code>{name}</code>: {description}</p>")?;
    }
    page.push_str("<h2 id=\"calls\">Calls</h2>\n");
    for operation in &operations {
        write_operation(page, operation)?;
    }
    page.push_str("<h2 id=\"types\">Types</h2>\n");
    for (name, schema) in entries(&api["components"]["schemas"]) {
        write_schema(page, name, schema)?;
    }
    write_problems(page)?;
    page.push_str("</main>\n</body>\n</html>\n");
    Ok(())
}

/// One call.
struct Operation<'a> {
    method: String,
    path: &'a str,
    value: &'a Value,
}

impl Operation<'_> {
    fn id(&self) -> impl Display {
        text(&self.value["operationId"])
    }
}

/// All calls, those of one tag together, in the order of their paths.
fn operations(api: &Value) -> Vec<Operation<'_>> {
    let mut operations: Vec<Operation<'_>> = entries(&api["paths"])
        .flat_map(|(path, item)| {
            entries(item).filter(|(_, value)| value.is_object()).map(move |(method, value)| {
                Operation { method: method.to_ascii_uppercase(), path, value }
            })
        })
        .collect();
    operations
        .sort_by_key(|operation| TAGS.iter().position(|tag| operation.value["tags"][0] == **tag));
    operations
}

/// Tags in the order of the page.
const TAGS: [&str; 7] =
    ["performances", "queue", "reservations", "payment", "health", "documents", "pages"];

fn write_contents(page: &mut String, operations: &[Operation<'_>]) -> fmt::Result {
    page.push_str("<nav aria-label=\"Contents\">\n<ul>\n");
    for operation in operations {
        let (id, method, path) = (operation.id(), &operation.method, escape(operation.path));
        writeln!(page, "<li><a href=\"#{id}\"><code>{method} {path}</code></a></li>")?;
    }
    page.push_str(
        "<li><a href=\"#tokens\">Tokens</a></li>\n<li><a href=\"#types\">Types</a></li>\n\
         <li><a href=\"#problems\">Problems</a></li>\n</ul>\n</nav>\n",
    );
    Ok(())
}

fn write_operation(page: &mut String, operation: &Operation<'_>) -> fmt::Result {
    let Operation { method, path, value } = operation;
    let (id, path, summary) = (operation.id(), escape(path), text(&value["summary"]));
    writeln!(
        page,
        "<section>\n<h3 id=\"{id}\"><span class=\"method\">{method}</span> \
         <code>{path}</code></h3>\n<p>{summary} <small>(<code>{id}</code>)</small></p>"
    )?;
    if let Some(description) = value["description"].as_str() {
        writeln!(page, "<p>{}</p>", prose(description))?;
    }
    if let Some(wanted) = value["security"].as_array() {
        let names = wanted.iter().map(|one| match entries(one).next() {
            Some((name, _)) => format!("<code>{}</code>", escape(name)),
            None => "none".to_owned(),
        });
        let names: Vec<String> = names.collect();
        writeln!(page, "<p>Token: {}.</p>", names.join(" or "))?;
    }
    write_parameters(page, &value["parameters"])?;
    if let Some((media_type, content)) = entries(&value["requestBody"]["content"]).next() {
        let (media_type, kind) = (escape(media_type), kind(&content["schema"]));
        writeln!(page, "<h4>Body</h4>\n<p><code>{media_type}</code>: {kind}</p>")?;
    }
    write_responses(page, &value["responses"])?;
    page.push_str("</section>\n");
    Ok(())
}

fn write_parameters(page: &mut String, parameters: &Value) -> fmt::Result {
    let Some(parameters) = parameters.as_array() else { return Ok(()) };
    page.push_str("<h4>Parameters</h4>\n");
    open_table(page, &["Name", "In", "Type", "Meaning"]);
    for parameter in parameters {
        let (name, place) = (text(&parameter["name"]), text(&parameter["in"]));
        let (kind, meaning) = (kind(&parameter["schema"]), meaning(parameter));
        writeln!(
            page,
            "<tr><td><code>{name}</code></td><td>{place}</td><td>{kind}</td><td>{meaning}</td></tr>"
        )?;
    }
    page.push_str(TABLE_END);
    Ok(())
}

fn write_responses(page: &mut String, responses: &Value) -> fmt::Result {
    page.push_str("<h4>Answers</h4>\n");
    open_table(page, &["Status", "Type", "Meaning"]);
    for (status, response) in entries(responses) {
        let content = entries(&response["content"]).next();
        let kind = content.map(|(_, content)| kind(&content["schema"])).unwrap_or_default();
        let meaning = meaning(response);
        writeln!(page, "<tr><td>{}</td><td>{kind}</td><td>{meaning}</td></tr>", escape(status))?;
        for (name, header) in entries(&response["headers"]) {
            let (name, meaning) = (escape(name), self::meaning(header));
            writeln!(
                page,
                "<tr><td></td><td><code>{name}</code> (header)</td><td>{meaning}</td></tr>"
            )?;
        }
    }
    page.push_str(TABLE_END);
    Ok(())
}

fn write_schema(page: &mut String, name: &str, schema: &Value) -> fmt::Result {
    let name = escape(name);
    writeln!(page, "<section>\n<h3 id=\"type-{name}\">{name}</h3>\n<p>{}</p>", meaning(schema))?;
    for example in schema["examples"].as_array().into_iter().flatten() {
        if example.is_object() {
            writeln!(page, "<pre><code>{}</code></pre>", escape(&format!("{example:#}")))?;
        }
    }
    let parts = schema["allOf"].as_array().map_or(std::slice::from_ref(schema), Vec::as_slice);
    if parts.iter().all(|part| part["properties"].is_null() && part["$ref"].is_null()) {
        writeln!(page, "<p>{}</p>\n</section>", kind(schema))?;
        return Ok(());
    }
    open_table(page, &["Field", "Type", "Meaning"]);
    for part in parts {
        if !part["$ref"].is_null() {
            writeln!(page, "<tr><td colspan=\"3\">and all of {}</td></tr>", kind(part))?;
        }
        let required = part["required"].as_array().map(Vec::as_slice).unwrap_or_default();
        for (field, property) in entries(&part["properties"]) {
            let always = required.iter().any(|name| name == field);
            let sometimes = if always { "" } else { ", may be absent" };
            let (kind, meaning) = (kind(property), meaning(property));
            let field = escape(field);
            writeln!(
                page,
                "<tr><td><code>{field}</code></td><td>{kind}{sometimes}</td><td>{meaning}</td></tr>"
            )?;
        }
    }
    page.push_str(TABLE_END);
    page.push_str("</section>\n");
    Ok(())
}

fn write_problems(page: &mut String) -> fmt::Result {
    page.push_str(
        "<h2 id=\"problems\">Problems</h2>\n<p>Answers of type \
         <code>application/problem+json</code> (RFC 9457). What the rules refuse is 4xx; 5xx means \
         only that this node could not.</p>\n",
    );
    open_table(page, &["Code", "Status", "Meaning", "한국어"]);
    for problem in every() {
        let (code, status) = (problem.code(), problem.status().as_u16());
        let [en, ko] = [Language::En, Language::Ko].map(|language| escape(problem.title(language)));
        writeln!(
            page,
            "<tr id=\"{code}\"><td><code>{code}</code></td><td>{status}</td><td>{en}</td>\
             <td lang=\"ko\">{ko}</td></tr>"
        )?;
    }
    page.push_str(TABLE_END);
    Ok(())
}

fn open_table(page: &mut String, columns: &[&str]) {
    page.push_str("<div class=\"table\"><table>\n<thead><tr>");
    for column in columns {
        let _ = write!(page, "<th>{column}</th>");
    }
    page.push_str("</tr></thead>\n<tbody>\n");
}

const TABLE_END: &str = "</tbody>\n</table></div>\n";

/// What a schema is, in a word: a link to its type where it has one.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        let name = escape(name);
        return format!("<a href=\"#type-{name}\">{name}</a>");
    }
    if let Some(alternatives) = schema["oneOf"].as_array() {
        let kinds: Vec<String> = alternatives.iter().map(kind).collect();
        return kinds.join(" or ");
    }
    match &schema["type"] {
        Value::String(name) if name == "array" => format!("list of {}", kind(&schema["items"])),
        Value::String(name) => match schema["format"].as_str() {
            Some(format) => format!("{} ({})", escape(name), escape(format)),
            None => escape(name).to_string(),
        },
        Value::Array(names) if names.contains(&Value::from("array")) => {
            format!("list of {} or null", kind(&schema["items"]))
        }
        Value::Array(names) => {
            let names: Vec<String> = names.iter().map(|name| text(name).to_string()).collect();
            names.join(" or ")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => "anything".to_owned(),
    }
}

/// What a schema, parameter or answer means, with its examples and its closed list of values.
fn meaning(value: &Value) -> String {
    let mut meaning = value["description"].as_str().map(prose).unwrap_or_default();
    let listed = |values: &Value| -> Option<String> {
        // Whole objects stand by themselves.
        let values = values.as_array()?.iter().filter(|one| !one.is_object());
        let values: Vec<_> = values.map(|one| format!("<code>{}</code>", plain(one))).collect();
        (!values.is_empty()).then(|| values.join(", "))
    };
    if let Some(values) = listed(&value["enum"]) {
        let _ = write!(meaning, " One of {values}.");
    }
    if let Some(examples) = listed(&value["examples"]) {
        let _ = write!(meaning, " For example {examples}.");
    }
    if !value["example"].is_null() {
        let _ = write!(meaning, " For example <code>{}</code>.", plain(&value["example"]));
    }
    meaning
}

/// A value as it is written in JSON, a text without its quotes.
fn plain(value: &Value) -> String {
    match value.as_str() {
        Some(text) => escape(text).to_string(),
        None => escape(&value.to_string()).to_string(),
    }
}

/// A text with `code` in it, and paragraphs.
fn prose(markdown: &str) -> String {
    let mut html = String::new();
    for (number, part) in markdown.split('`').enumerate() {
        let tag = if number % 2 == 1 { ("<code>", "</code>") } else { ("", "") };
        let _ = write!(html, "{}{}{}", tag.0, escape(part), tag.1);
    }
    html.replace("\n\n", "</p>\n<p>")
}

fn entries(object: &Value) -> impl Iterator<Item = (&str, &Value)> {
    object.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

fn text(value: &Value) -> Escaped<'_> {
    escape(value.as_str().unwrap_or_default())
}

fn escape(text: &str) -> Escaped<'_> {
    Escaped(text)
}

/// A text in which nothing is a tag, nor the end of an attribute.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            other => f.write_char(other),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::ROUTES;
    use crate::http::openapi::document;

    fn real() -> String {
        page(&serde_json::to_value(document()).unwrap())
    }

    #[test]
    fn everything_has_its_place_and_every_link_leads_somewhere() {
        let page = real();
        for route in ROUTES {
            assert!(page.contains(&format!("id=\"{}\"", route.operation_id)), "{}", route.path);
        }
        for problem in every() {
            assert!(page.contains(&format!("id=\"{}\"", problem.code())), "{}", problem.code());
        }
        let links: Vec<&str> = page.split("href=\"#").skip(1).collect();
        assert!(links.len() > 40);
        for link in links {
            let id = link.split('"').next().unwrap();
            assert_eq!(page.matches(&format!("id=\"{id}\"")).count(), 1, "{id}");
        }
    }

    #[test]
    fn it_has_no_script_and_nothing_from_elsewhere() {
        let page = real();
        for word in ["<script", "<style", "style=", "http://", "https://", "onclick", "<img"] {
            assert!(!page.contains(word), "{word}");
        }
        for tag in ["p", "table", "tbody", "section", "tr", "td", "code", "ul", "h3"] {
            let opened = page.matches(&format!("<{tag}>")).count()
                + page.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
        }
    }

    #[test]
    fn what_it_is_told_is_never_a_tag() {
        let evil = "<b onload='x'>\"&";
        let api = serde_json::json!({
            "info": {"title": evil, "description": evil, "version": evil},
            "paths": {evil: {"get": {"operationId": evil, "summary": evil, "description": evil,
                "security": [{evil: []}], "tags": [evil],
                "parameters": [{"name": evil, "in": evil, "schema": {"type": evil}, "example": evil}],
                "requestBody": {"content": {evil: {"schema": {"$ref": evil}}}},
                "responses": {evil: {"description": evil, "headers": {evil: {"description": evil}}}}}}},
            "components": {"schemas": {evil: {"properties": {evil: {"enum": [evil]}}}},
                "securitySchemes": {evil: {"description": evil}}},
        });
        let page = page(&api);
        assert!(!page.contains("<b ") && !page.contains("\"&\"") && !page.contains("'x'"));
        assert!(page.matches("&lt;b onload=&#39;x&#39;&gt;&quot;&amp;").count() > 15);
    }
}
