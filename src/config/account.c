#include "config/account.h"

#include <stdlib.h>

static void
free_words(char **words)
{
	for (char **word = words; word != NULL && *word != NULL; word++)
		free(*word);
	free(words);
}

void
account_release(struct account *account)
{
	free(account->name);
	free(account->origin);
	free(account->host);
	free(account->tls_trust_file);
	free(account->user);
	secret_release(&account->password);
	free(account->password_file);
	free_words(account->password_command);
	free_words(account->auth);
	free(account->dest.text);
	free(account->dest.path);
	free_words(account->dest.argv);
	*account = (struct account){0};
}
