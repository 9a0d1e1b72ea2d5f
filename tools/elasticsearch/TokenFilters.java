import java.util.Locale;
import java.util.Map;
import java.util.function.UnaryOperator;
import org.apache.lucene.analysis.TokenStream;
import org.apache.lucene.analysis.miscellaneous.ASCIIFoldingFilter;
import org.apache.lucene.analysis.ngram.EdgeNGramTokenFilter;
import org.apache.lucene.analysis.snowball.SnowballFilter;
import org.elasticsearch.index.analysis.AbstractTokenFilterFactory;
import org.elasticsearch.index.analysis.NormalizingTokenFilterFactory;
import org.elasticsearch.index.analysis.TokenFilterFactory;
import org.elasticsearch.indices.analysis.AnalysisModule.AnalysisProvider;
import org.elasticsearch.plugins.AnalysisPlugin;
import org.elasticsearch.plugins.Plugin;

/**
 * asciifolding, edge_ngram and stemmer (Snowball's languages): Lucene's own, under the names and with the settings that a full distribution's
 * analysis-common module gives them. The integ-test distribution leaves that module out.
 */
public final class TokenFilters extends Plugin implements AnalysisPlugin {
    @Override
    public Map<String, AnalysisProvider<TokenFilterFactory>> getTokenFilters() {
        return Map.of(
            "asciifolding", (indexSettings, environment, name, settings) -> {
                var keep = settings.getAsBoolean("preserve_original", false);
                return new Normalizing(name, tokens -> new ASCIIFoldingFilter(tokens, keep));
            },
            "stemmer", (indexSettings, environment, name, settings) -> {
                var language = settings.get("language", settings.get("name", "english"));
                var snowball = language.substring(0, 1).toUpperCase(Locale.ROOT) + language.substring(1);
                return new Wrapping(name, tokens -> new SnowballFilter(tokens, snowball));
            },
            "edge_ngram", (indexSettings, environment, name, settings) -> {
                var shortest = settings.getAsInt("min_gram", 1);
                var longest = settings.getAsInt("max_gram", 2);
                var keep = settings.getAsBoolean("preserve_original", false);
                return new Wrapping(name, tokens -> new EdgeNGramTokenFilter(tokens, shortest, longest, keep));
            });
    }

    private static class Wrapping extends AbstractTokenFilterFactory {
        private final UnaryOperator<TokenStream> filter;

        Wrapping(String name, UnaryOperator<TokenStream> filter) {
            super(name);
            this.filter = filter;
        }

        @Override
        public TokenStream create(TokenStream tokens) {
            return filter.apply(tokens);
        }
    }

    /** One that keyword normalizers may use as well. */
    private static final class Normalizing extends Wrapping implements NormalizingTokenFilterFactory {
        Normalizing(String name, UnaryOperator<TokenStream> filter) {
            super(name, filter);
        }
    }
}
