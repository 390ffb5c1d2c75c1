//! `#[function]`, `#[workflow]` and `#[tool]`: checks the function's form and adds the type that names the component.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{
    Attribute, Expr, ExprLit, FnArg, GenericArgument, Ident, ItemFn, Lit, LitFloat, LitInt, LitStr, Meta,
    PathArguments, ReturnType, Type, meta::ParseNestedMeta, parse::Parser as _, parse2, spanned::Spanned as _,
};

pub(crate) const MAX_NAME_CHARS: usize = 128;

/// Which attribute.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Function,
    Workflow,
    Tool,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Function => "function",
            Self::Workflow => "workflow",
            Self::Tool => "tool",
        }
    }

    fn variant(self) -> Ident {
        match self {
            Self::Function => Ident::new("Function", Span::call_site()),
            Self::Workflow => Ident::new("Workflow", Span::call_site()),
            Self::Tool => Ident::new("Tool", Span::call_site()),
        }
    }
}

/// What the attribute's parentheses say.
#[derive(Default)]
struct Options {
    name: Option<LitStr>,
    description: Option<LitStr>,
    retries: Option<Retries>,
}

#[derive(Default)]
struct Retries {
    max_attempts: Option<LitInt>,
    initial_interval_ms: Option<LitInt>,
    max_interval_ms: Option<LitInt>,
    backoff: Option<LitStr>,
    multiplier: Option<LitFloat>,
}

pub(crate) fn expand(kind: Kind, args: TokenStream, item: TokenStream) -> TokenStream {
    let Ok(function) = parse2::<ItemFn>(item.clone()) else {
        let message = format!("`#[bivouac::{}]` stands on an `async fn`", kind.name());
        return with_error(item.clone(), &syn::Error::new(item.span(), message));
    };
    match generate(kind, args, &function) {
        Ok(component) => quote! {
            #[allow(clippy::unused_async, reason = "a component is async, also one that waits for nothing")]
            #function
            #component
        },
        // The function stays, so that its callers do not add errors of their own.
        Err(error) => with_error(quote! { #function }, &error),
    }
}

pub(crate) fn with_error(item: TokenStream, error: &syn::Error) -> TokenStream {
    let error = error.to_compile_error();
    quote! { #item #error }
}

fn generate(kind: Kind, args: TokenStream, function: &ItemFn) -> syn::Result<TokenStream> {
    let options = Options::parse(args)?;
    let input = check(kind, function)?;
    let ident = &function.sig.ident;
    let visibility = &function.vis;
    let name = options.name(ident)?;
    let description = options.description(&function.attrs);
    if kind == Kind::Tool && description.is_none() {
        let message = "the tool has no description, by which an agent would choose it: write `/// What it does.` above \
                       the function, or `description = \"..\"`";
        return Err(syn::Error::new(ident.span(), message));
    }
    let description = match description {
        Some(text) => quote! { ::core::option::Option::Some(::std::string::String::from(#text)) },
        None => quote! { ::core::option::Option::None },
    };
    let retries = options.retries()?;
    let variant = kind.variant();
    let doc = format!("The component `{name}`: what [`{ident}`](fn@{ident}) is to a module.");
    let read = quote_spanned! { input.span() => ::bivouac::__private::read_input::<#input> };
    let body = quote_spanned! { function.sig.output.span() => ::bivouac::__private::body };
    let schema = match kind {
        // By way of the trait, so that a type without a schema is complained of once.
        Kind::Tool => quote! {
            ::core::option::Option::Some(::bivouac::__private::schema::<<#ident as ::bivouac::Tool>::Args>())
        },
        Kind::Function | Kind::Workflow => quote! { ::core::option::Option::None },
    };
    let tool = if kind == Kind::Tool { tool(function, &name, input)? } else { TokenStream::new() };
    Ok(quote! {
        #tool

        #[doc = #doc]
        #[allow(non_camel_case_types, dead_code, reason = "named like its function")]
        #[derive(Debug)]
        #visibility struct #ident {}

        impl ::bivouac::Component for #ident {
            fn describe() -> ::bivouac::manifest::Component {
                ::bivouac::manifest::Component {
                    kind: ::bivouac::manifest::ComponentKind::#variant,
                    name: ::std::string::String::from(#name),
                    description: #description,
                    input_schema: #schema,
                    output_schema: ::core::option::Option::None,
                    flow_control: ::bivouac::manifest::FlowControl { retries: #retries },
                    agent: ::core::option::Option::None,
                }
            }

            fn start(
                ctx: ::bivouac::Context,
                input: &::bivouac::Json,
            ) -> ::core::result::Result<::bivouac::Body, ::bivouac::Error> {
                let input = #read(#name, input)?;
                ::core::result::Result::Ok(#body(#name, async move { #ident(&ctx, input).await }))
            }
        }
    })
}

/// What makes a component one that agents can call.
fn tool(function: &ItemFn, name: &str, input: &Type) -> syn::Result<TokenStream> {
    let ident = &function.sig.ident;
    let ReturnType::Type(_, result) = &function.sig.output else { return Ok(TokenStream::new()) };
    let output = match &**result {
        Type::Path(path) => path.path.segments.last().and_then(|last| match &last.arguments {
            PathArguments::AngleBracketed(arguments) => arguments.args.iter().find_map(|argument| match argument {
                GenericArgument::Type(output) => Some(output),
                _ => None,
            }),
            _ => None,
        }),
        _ => None,
    };
    let Some(output) = output else {
        let message = "a tool's result names what it gives: `Result<Output, Error>` or `AgentResult<Output>`";
        return Err(syn::Error::new(result.span(), message));
    };
    Ok(quote! {
        impl ::bivouac::Tool for #ident {
            const NAME: &'static str = #name;
            type Args = #input;
            type Output = #output;

            async fn call(
                ctx: ::bivouac::Context,
                args: Self::Args,
            ) -> ::core::result::Result<Self::Output, ::bivouac::Error> {
                ::core::result::Result::map_err(#ident(&ctx, args).await, ::core::convert::Into::into)
            }
        }
    })
}

/// Checks the function's form; gives its input's type.
fn check(kind: Kind, function: &ItemFn) -> syn::Result<&Type> {
    let signature = &function.sig;
    let name = kind.name();
    let expected = format!(
        "a {name} looks like `async fn {}(ctx: &Context, input: Input) -> Result<Output, Error>`",
        signature.ident
    );
    let error = |span: Span, message: &str| Err(syn::Error::new(span, format!("{message}: {expected}")));
    if signature.asyncness.is_none() {
        return error(signature.fn_token.span, "the function is not `async`");
    }
    if let Some(token) = &signature.unsafety {
        return error(token.span, "the function is `unsafe`, but the host calls it as it is");
    }
    if let Some(abi) = &signature.abi {
        return error(abi.span(), "the function has an ABI of its own");
    }
    if let Some(parameter) = signature.generics.params.first() {
        return error(parameter.span(), "the function is generic, but a component has one input and one output type");
    }
    if let Some(receiver) = signature.receiver() {
        return error(receiver.span(), "the function takes `self`, but a component has no state between runs");
    }
    let mut arguments = signature.inputs.iter();
    let (Some(FnArg::Typed(context)), Some(FnArg::Typed(input)), None) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        let message = format!("the function takes {} instead of two arguments", signature.inputs.len());
        let span = if signature.inputs.is_empty() { signature.ident.span() } else { signature.inputs.span() };
        return error(span, &message);
    };
    match &*context.ty {
        Type::Reference(reference) if reference.mutability.is_none() => {}
        other => return error(other.span(), "the first argument is not `&Context`"),
    }
    match &*input.ty {
        Type::Reference(_) => return error(input.ty.span(), "the input is a reference, but it is read from JSON"),
        Type::ImplTrait(_) => {
            return error(input.ty.span(), "the input is an `impl Trait`, but a component has one input type");
        }
        _ => {}
    }
    match &signature.output {
        ReturnType::Type(_, output) if is_result(output) => Ok(&input.ty),
        ReturnType::Type(_, output) => error(output.span(), "the function does not return a `Result`"),
        ReturnType::Default => error(signature.paren_token.span.close(), "the function does not return a `Result`"),
    }
}

/// Whether a type is a `Result`, or an alias whose name says so.
fn is_result(output: &Type) -> bool {
    match output {
        Type::Path(path) => path.path.segments.last().is_some_and(|last| last.ident.to_string().ends_with("Result")),
        _ => false,
    }
}

impl Options {
    fn parse(args: TokenStream) -> syn::Result<Self> {
        let mut options = Self::default();
        let parser = syn::meta::parser(|meta| {
            if meta.path.is_ident("name") {
                set(&meta, &mut options.name)
            } else if meta.path.is_ident("description") {
                set(&meta, &mut options.description)
            } else if meta.path.is_ident("retries") {
                options.retries = Some(Retries::parse(&meta)?);
                Ok(())
            } else {
                Err(meta.error("unknown argument: there are `name`, `description` and `retries(...)`"))
            }
        });
        parser.parse2(args)?;
        Ok(options)
    }

    fn name(&self, ident: &Ident) -> syn::Result<String> {
        let Some(given) = &self.name else { return Ok(ident.to_string().trim_start_matches("r#").to_owned()) };
        let name = given.value();
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if name.is_empty() || name.len() > MAX_NAME_CHARS || !name.chars().all(allowed) {
            let message = format!("a component's name is 1 to {MAX_NAME_CHARS} letters, digits, `_` or `-`");
            return Err(syn::Error::new(given.span(), message));
        }
        Ok(name)
    }

    fn description(&self, attributes: &[Attribute]) -> Option<String> {
        self.description.as_ref().map(LitStr::value).or_else(|| first_paragraph(attributes))
    }

    fn retries(&self) -> syn::Result<TokenStream> {
        let Some(retries) = &self.retries else { return Ok(quote! { ::core::option::Option::None }) };
        let mut fields = Vec::new();
        if let Some(value) = &retries.max_attempts {
            if value.base10_parse::<u32>()? == 0 {
                return Err(syn::Error::new(value.span(), "`max_attempts` counts the first attempt too: at least 1"));
            }
            fields.push(quote! { max_attempts: #value });
        }
        if let Some(value) = &retries.initial_interval_ms {
            value.base10_parse::<u64>()?;
            fields.push(quote! { initial_interval_ms: #value });
        }
        if let Some(value) = &retries.max_interval_ms {
            value.base10_parse::<u64>()?;
            fields.push(quote! { max_interval_ms: #value });
        }
        if let Some(value) = &retries.backoff {
            let variant = backoff(value)?;
            fields.push(quote! { backoff: ::bivouac::manifest::Backoff::#variant });
        }
        if let Some(value) = &retries.multiplier {
            let thousandths = thousandths(value)?;
            fields.push(quote! { multiplier_thousandths: #thousandths });
        }
        let others = (fields.len() < Retries::FIELDS).then(|| quote! { ..::core::default::Default::default() });
        Ok(quote! {
            ::core::option::Option::Some(::bivouac::manifest::Retries { #(#fields,)* #others })
        })
    }
}

impl Retries {
    const FIELDS: usize = 5;

    fn parse(meta: &ParseNestedMeta<'_>) -> syn::Result<Self> {
        let mut retries = Self::default();
        meta.parse_nested_meta(|meta| {
            if meta.path.is_ident("max_attempts") {
                set(&meta, &mut retries.max_attempts)
            } else if meta.path.is_ident("initial_interval_ms") {
                set(&meta, &mut retries.initial_interval_ms)
            } else if meta.path.is_ident("max_interval_ms") {
                set(&meta, &mut retries.max_interval_ms)
            } else if meta.path.is_ident("backoff") {
                set(&meta, &mut retries.backoff)
            } else if meta.path.is_ident("multiplier") {
                set(&meta, &mut retries.multiplier)
            } else {
                Err(meta.error(
                    "unknown argument of `retries`: there are `max_attempts`, `initial_interval_ms`, \
                     `max_interval_ms`, `backoff` and `multiplier`",
                ))
            }
        })?;
        Ok(retries)
    }
}

pub(crate) fn set<T: syn::parse::Parse>(meta: &ParseNestedMeta<'_>, field: &mut Option<T>) -> syn::Result<()> {
    if field.is_some() {
        return Err(meta.error("given twice"));
    }
    *field = Some(meta.value()?.parse()?);
    Ok(())
}

fn backoff(value: &LitStr) -> syn::Result<Ident> {
    let variant = match value.value().as_str() {
        "constant" => "Constant",
        "linear" => "Linear",
        "exponential" => "Exponential",
        _ => return Err(syn::Error::new(value.span(), "`backoff` is \"constant\", \"linear\" or \"exponential\"")),
    };
    Ok(Ident::new(variant, value.span()))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked first")]
fn thousandths(value: &LitFloat) -> syn::Result<u32> {
    let number: f64 = value.base10_parse()?;
    if !(1.0..=1000.0).contains(&number) {
        return Err(syn::Error::new(value.span(), "`multiplier` lies between 1.0 and 1000.0"));
    }
    Ok((number * 1000.0).round() as u32)
}

/// The first paragraph of a documentation, on one line.
pub(crate) fn first_paragraph(attributes: &[Attribute]) -> Option<String> {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(meta) if meta.path.is_ident("doc") => match &meta.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value().trim().to_owned()),
            _ => None,
        },
        _ => None,
    });
    let paragraph: Vec<_> = lines.skip_while(String::is_empty).take_while(|line| !line.is_empty()).collect();
    (!paragraph.is_empty()).then(|| paragraph.join(" "))
}
