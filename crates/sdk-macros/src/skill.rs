//! `#[skill]`: reads what a type says of itself as a skill and adds it.

use crate::component::{MAX_NAME_CHARS, first_paragraph, set, with_error};
use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    DeriveInput, ExprArray, Lit, LitStr, meta::ParseNestedMeta, parse::Parser as _, parse2, spanned::Spanned as _,
};

const FORM: &str = "a skill looks like `#[skill(id = \"..\", name = \"..\", description = \"..\")] struct Name;`";

/// What the attribute's parentheses say.
#[derive(Default)]
struct Options {
    id: Option<LitStr>,
    name: Option<LitStr>,
    description: Option<LitStr>,
    tags: Option<ExprArray>,
    examples: Option<ExprArray>,
    input_modes: Option<ExprArray>,
    output_modes: Option<ExprArray>,
}

pub(crate) fn expand(args: TokenStream, item: TokenStream) -> TokenStream {
    let Ok(input) = parse2::<DeriveInput>(item.clone()) else {
        let message = format!("`#[skill]` stands on a struct: {FORM}");
        return with_error(item.clone(), &syn::Error::new(item.span(), message));
    };
    match generate(args, &input) {
        Ok(described) => quote! { #item #described },
        Err(error) => {
            // The trait is there all the same, so that the agent that has the skill adds no error of its own.
            let stand_in = implementation(&input, &quote! { ::core::unreachable!() });
            with_error(quote! { #item #stand_in }, &error)
        }
    }
}

fn implementation(input: &DeriveInput, body: &TokenStream) -> TokenStream {
    let ident = &input.ident;
    let (parameters, arguments, clause) = input.generics.split_for_impl();
    quote! {
        impl #parameters ::bivouac::Skill for #ident #arguments #clause {
            fn describe() -> ::bivouac::manifest::Skill {
                #body
            }
        }
    }
}

fn generate(args: TokenStream, input: &DeriveInput) -> syn::Result<TokenStream> {
    let options = Options::parse(args)?;
    if let Some(parameter) = input.generics.params.first() {
        return Err(syn::Error::new(
            parameter.span(),
            format!("the type is generic, but a skill is one thing: {FORM}"),
        ));
    }
    let id = options.id(input)?;
    let name = options.name.as_ref().map_or_else(|| words(&input.ident.to_string(), ' '), LitStr::value);
    let Some(description) = options.description.as_ref().map(LitStr::value).or_else(|| first_paragraph(&input.attrs))
    else {
        let message = "the skill has no description, which the agent's card shows: write `description = \"..\"`, or \
                       `/// What it does.` above the type";
        return Err(syn::Error::new(input.ident.span(), message));
    };
    let tags = texts("tags", options.tags.as_ref())?;
    let examples = texts("examples", options.examples.as_ref())?;
    let input_modes = texts("input_modes", options.input_modes.as_ref())?;
    let output_modes = texts("output_modes", options.output_modes.as_ref())?;
    let text = |text: &str| quote! { ::std::string::String::from(#text) };
    let (id, name, description) = (text(&id), text(&name), text(&description));
    Ok(implementation(
        input,
        &quote! {
            ::bivouac::manifest::Skill {
                id: #id,
                name: #name,
                description: #description,
                tags: #tags,
                examples: #examples,
                input_modes: #input_modes,
                output_modes: #output_modes,
                extended: false,
            }
        },
    ))
}

impl Options {
    fn parse(args: TokenStream) -> syn::Result<Self> {
        let mut options = Self::default();
        let parser = syn::meta::parser(|meta: ParseNestedMeta<'_>| {
            if meta.path.is_ident("id") {
                set(&meta, &mut options.id)
            } else if meta.path.is_ident("name") {
                set(&meta, &mut options.name)
            } else if meta.path.is_ident("description") {
                set(&meta, &mut options.description)
            } else if meta.path.is_ident("tags") {
                set(&meta, &mut options.tags)
            } else if meta.path.is_ident("examples") {
                set(&meta, &mut options.examples)
            } else if meta.path.is_ident("input_modes") {
                set(&meta, &mut options.input_modes)
            } else if meta.path.is_ident("output_modes") {
                set(&meta, &mut options.output_modes)
            } else {
                Err(meta.error(
                    "unknown argument: there are `id`, `name`, `description`, `tags`, `examples`, `input_modes` and \
                     `output_modes`",
                ))
            }
        });
        parser.parse2(args)?;
        Ok(options)
    }

    fn id(&self, input: &DeriveInput) -> syn::Result<String> {
        let Some(given) = &self.id else { return Ok(words(&input.ident.to_string(), '_')) };
        let id = given.value();
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if id.is_empty() || id.len() > MAX_NAME_CHARS || !id.chars().all(allowed) {
            let message = format!("a skill's id is 1 to {MAX_NAME_CHARS} letters, digits, `_` or `-`");
            return Err(syn::Error::new(given.span(), message));
        }
        Ok(id)
    }
}

/// A list of texts as an expression.
fn texts(argument: &str, list: Option<&ExprArray>) -> syn::Result<TokenStream> {
    let mut items = Vec::new();
    for item in list.into_iter().flat_map(|list| &list.elems) {
        match item {
            syn::Expr::Lit(syn::ExprLit { lit: Lit::Str(text), .. }) => items.push(text),
            other => {
                return Err(syn::Error::new(other.span(), format!("`{argument}` is a list of texts: [\"a\", \"b\"]")));
            }
        }
    }
    Ok(quote! { ::std::vec![#(::std::string::String::from(#items)),*] })
}

/// A type's name in words: `PlanTrip` is `plan_trip`, or `Plan trip`.
fn words(name: &str, between: char) -> String {
    let mut text = String::new();
    for (at, c) in name.trim_start_matches("r#").char_indices() {
        if at > 0 && c.is_uppercase() {
            text.push(between);
        }
        if at == 0 && between == ' ' { text.push(c) } else { text.extend(c.to_lowercase()) }
    }
    text
}
