/**
 * Reads Parquet files as trees of maps, lists and values, the same as the row's JSON would give.
 * The encodings and the assembly of nested records are Apache's parquet-column; what parquet-hadoop
 * would add — footer, schema, pages, compression — is read here, page by page, in bounded memory
 * and without Hadoop. The format: github.com/apache/parquet-format.
 *
 * <p>A file is not trusted: every size, offset and count that it claims is checked against the
 * bytes that are there before anything is allocated, and a page may not unfold beyond a limit.
 */
package ai.nibble.data.parquet;
