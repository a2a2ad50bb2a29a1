/**
 * A bounded interpreter for the Jinja templates that tokenizers ship.
 *
 * <p>It follows what Hugging Face's {@code apply_chat_template} runs: Jinja 3.1's immutable sandbox
 * with {@code trim_blocks}, {@code lstrip_blocks}, {@code break}/{@code continue}, the {@code
 * generation} block, {@code tojson} without HTML escapes, {@code raise_exception} and {@code
 * strftime_now}. Values are maps, lists, strings, numbers, booleans and null; nothing reflects on
 * Java objects, nothing is loaded, and every render is bounded in time, steps, depth and size.
 *
 * <p>Strings remember where their characters came from ({@link ai.nibble.data.jinja.Traced}),
 * through slicing, joining, trimming and {@code tojson}. So the text of a rendered conversation can
 * be told apart, character by character, into what the template wrote and what each message
 * contributed.
 */
package ai.nibble.data.jinja;
