"""What each metric is called in running text, and what it means: name, title, meaning, in the order of METRICS."""

from __future__ import annotations

METRICS = (
    (
        "adjusted_coverage",
        "adjusted coverage",
        "Coverage of the dataset minus coverage of its evaluation controls: what is left is owed to training, not to "
        "chance resemblance.",
    ),
    (
        "coverage",
        "coverage",
        "Share of the dataset's records (near-duplicates count as one) that at least one generation reproduces at or "
        "above the threshold.",
    ),
    (
        "adjusted_semantic_rate",
        "adjusted semantic rate",
        "Share of generations at or above the threshold against the dataset, cut to as many records as there are "
        "evaluation controls (mean of 20 draws), minus the same share against those controls.",
    ),
    (
        "length_matched_semantic_rate",
        "length-matched semantic rate",
        "The adjusted semantic rate with members and controls drawn to the same lengths (equally many of each stratum "
        "of length, mean of 20 draws), since long texts score unlike short ones.",
    ),
    (
        "length_matched_coverage",
        "length-matched coverage",
        "Coverage of the dataset, its strata of length weighted as the evaluation controls have them, minus coverage "
        "of these controls.",
    ),
    (
        "semantic_memorisation_rate",
        "semantic memorisation rate",
        "Share of the scored generations whose best embedding score against the dataset reaches the threshold.",
    ),
    (
        "string_memorisation_rate",
        "string memorisation rate",
        "Share of the scored generations whose best string similarity to a record reaches the policy's string "
        "threshold (0.9 unless it says otherwise), one figure for each string measure.",
    ),
    (
        "undercount_ratio",
        "undercount ratio",
        "Semantic memorisation rate divided by string memorisation rate: by how much a search for near-identical "
        "strings alone would undercount. Undefined, with a lower bound, where no string matches.",
    ),
    (
        "prefix_gain",
        "prefix gain",
        "Mean best embedding score under the chat-template prefix minus the same under the beginning-of-sequence "
        "token alone, for the same number of generations.",
    ),
    (
        "longest_match",
        "longest match",
        "Longest stretch of tokens (words and marks) that a generation and its best match have in common, as a share "
        "of the record's tokens; the mean over the generations that reach the threshold.",
    ),
    (
        "embedding_score",
        "embedding score",
        "Dot product of the unit-length embeddings of two texts: 1 for texts the embedder cannot tell apart.",
    ),
    (
        "levenshtein_similarity",
        "Levenshtein similarity",
        "1 minus the edit distance by character divided by the length of the longer text.",
    ),
    (
        "indel_similarity",
        "Indel similarity",
        "1 minus the number of inserted and deleted characters divided by the summed length of both texts; a "
        "substitution counts as two.",
    ),
    (
        "likelihood_shift",
        "likelihood shift",
        "Difference of the base-10 logarithms of a text's probability after and before post-training. The finding is "
        "its size a token for members against controls of the same length: long texts move by themselves.",
    ),
    (
        "share_risen",
        "share risen by decades",
        "Share of the records whose question became at least so many powers of ten likelier in post-training.",
    ),
    (
        "extraction_probability",
        "extraction probability",
        "Probability that one sample under the declared sampler begins with the record's exact tokens.",
    ),
    (
        "expected_extractions",
        "expected extractions",
        "Sum over the records of the probability that at least one of so many samples begins with the record's tokens.",
    ),
    (
        "observed_extractions",
        "observed extractions",
        "Records that at least one generation of this run began with, token for token.",
    ),
    (
        "extractable_share",
        "extractable share",
        "Share of the records that so many samples bring up at least once with the stated probability.",
    ),
    (
        "min_k",
        "min-k",
        "Mean log-probability of the least likely fifth of a record's tokens: what a model has seen holds fewer "
        "surprises.",
    ),
    (
        "min_k_plus_plus",
        "min-k++",
        "The same after each token's log-probability was set against what the model expects at its place.",
    ),
    (
        "zlib_ratio",
        "zlib ratio",
        "Negative log-likelihood divided by the bytes of the compressed text: low where a text is likely without being "
        "simple.",
    ),
    (
        "reference_ratio",
        "reference ratio",
        "Log-likelihood under the candidate minus that under the base model, a token.",
    ),
    (
        "negative_knowledge",
        "negative knowledge",
        "Whether text that training pushed down can be told from text never trained on: by how much less likely it "
        "became.",
    ),
    (
        "preference_gap",
        "preference gap",
        "Likelihood shift of the chosen reply minus that of the rejected one.",
    ),
    (
        "canary_exposure",
        "canary exposure",
        "For planted unique texts: by how many bits the model ranks them above random texts of the same form.",
    ),
    (
        "last_k_words",
        "last k words",
        "Share of planted sentences whose last words the model completes by itself.",
    ),
    (
        "peakedness",
        "peakedness",
        "Share of samples that hardly differ from the model's most likely reply. Near chance on small models: a "
        "negative control.",
    ),
    (
        "guided_completion",
        "guided completion",
        "Whether a model completes a record better when it is told which dataset it is from.",
    ),
    (
        "continuation_gain",
        "continuation gain",
        "ROUGE-L of completions that were told the dataset's name, minus that of completions that were not.",
    ),
    (
        "gradient_alignment",
        "gradient alignment",
        "Cosine between what training on a record's answer would change in the model and what makes its question more "
        "likely.",
    ),
    (
        "recovered_utility",
        "recovered utility",
        "How much of the gain from training on the original data is had by training on what was extracted: (score of "
        "the base trained on that - score of the base) / (score of the base trained on as many originals - score of "
        "the base).",
    ),
    (
        "held_out_accuracy",
        "held-out accuracy",
        "Share of a task's questions, none of which is a record's, that a model answers rightly, as the task's check "
        "reads the answer.",
    ),
    (
        "auc",
        "AUC",
        "Probability that a member drawn at random is ranked above a control drawn at random.",
    ),
    (
        "control_perplexity",
        "control perplexity",
        "How surprised the model is by the answers of controls, which no arm was trained on, given their questions: "
        "exp of the mean negative log-likelihood a token. Higher is worse.",
    ),
    (
        "task_accuracy",
        "task accuracy",
        "Share of the controls' questions whose most likely answer ends in the right final answer, where the dataset "
        "has answers that can be checked.",
    ),
    (
        "lm_eval",
        "lm-evaluation-harness",
        "Score of a task of lm-evaluation-harness that the policy names, on that task's own scale.",
    ),
    (
        "false_block_share",
        "false blocks",
        "Share of never-trained texts that a filter withholds, though there is nothing of the dataset in them.",
    ),
    (
        "latency_ratio",
        "latency ratio",
        "Time a token with the mitigation divided by the time without it: 1 is no slower.",
    ),
    (
        "relative_reduction",
        "relative reduction",
        "1 minus the mitigated figure divided by the baseline's.",
    ),
)
