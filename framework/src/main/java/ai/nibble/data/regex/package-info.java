/**
 * What a tokenizer's regular expression can cost, proven from its text.
 *
 * <p>The tokenizer library runs expressions in a backtracking engine (Oniguruma) that gives up
 * after 10,000,000 failed attempts at one place of a text, and the library ends the whole process
 * with it. So an expression is read here by a strict parser of the part of the syntax that
 * published tokenizers use ({@link ai.nibble.data.regex.RegexParser}), and the failures that any
 * text can cause are bounded ({@link ai.nibble.data.regex.RegexCost}) as a function of the longest
 * run of characters that one repetition can take. An expression whose failures grow faster than
 * such a run is refused; of the others follows how long a run may be, which is checked against
 * every text ({@link ai.nibble.data.regex.RegexBound}).
 */
package ai.nibble.data.regex;
