/**
 * The recipe: a YAML file that says all a run needs, read into an immutable tree of records.
 *
 * <p>{@link ai.nibble.recipe.RecipeLoader} is the way in. Reading goes in steps, each of which adds
 * to one list of problems, so that a person sees all of them at once:
 *
 * <ol>
 *   <li>each file becomes a tree of {@code Node}s that know their line and column;
 *   <li>other tools' names for a key become ours, with a notice, file by file;
 *   <li>included files are merged in order, then the recipe's own keys, then {@code --set};
 *   <li>each {@link ai.nibble.recipe.Key} reads its value: type, range, choice;
 *   <li>keys are checked against each other, and the files they name are looked for.
 * </ol>
 *
 * <p>A key, its default, its range and its description stand in one place, the annotation of a
 * record component; the table in {@code recipes/README.md} is generated from them. To add a key,
 * add a component.
 */
package ai.nibble.recipe;
